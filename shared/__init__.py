"""Countersign's package, in reading order.

`domain` (what a signing is and how it may move) · `ports` (what the flow speaks to) · `flow` (one module a stage:
intake, start, receive, apply, download, notify, reconcile, poison) · `providers` (one folder each, same files) ·
`verification` (is this callback to be believed) · `evidence` (is this archive whole) · `storage` (tables, blobs,
queues) · `api` (HTTP shapes) · `settings` and `bootstrap` (configuration and wiring).
"""
