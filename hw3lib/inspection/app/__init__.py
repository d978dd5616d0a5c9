"""``hw3 inspect serve``, or ``hw3 app``: a page where a person drops a photograph, ``POST /inspect`` for programs.

One process: :mod:`.inspection` holds the inspector, :mod:`.server` answers, with a page (``page.html``) that fetches
nothing from elsewhere; :mod:`.review` asks a person, on a page of its own; :mod:`.pages` is what both share.
"""
