"""An emulator of the Tableau REST API, as a server of its own.

It holds what is published to it on disk and answers in the shape that Tableau documents, for the calls that
callmart makes. `process` starts and stops it; `app` puts the endpoints together, one module a resource.
"""
