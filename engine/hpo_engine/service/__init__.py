"""The service: many studies under one root, reached over HTTP.

`desk/` knows and does what may be asked, `wmla/`, `v1/` and `page/` are three ways to ask it, `intake/` takes uploads
in, `guard/` decides who may ask, and `app` puts them together.
"""
