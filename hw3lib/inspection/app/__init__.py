"""``hw3 app``: a page where a person drops a photograph and sees what a fitted detector says of it.

One process holds the detector (:mod:`.inspection`, :mod:`.defect_types`) and answers on a socket of this machine
(:mod:`.service`); each visitor's page (:mod:`.page`, in a Voila server that :mod:`.server` starts) asks it.
"""
