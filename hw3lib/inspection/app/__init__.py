"""``hw3 app``: a page where a person drops a photograph, and ``POST /inspect`` for programs.

One process: :mod:`.inspection` holds the inspector, and :mod:`.server` answers, with a page
(``page.html``) that fetches nothing from elsewhere.
"""
