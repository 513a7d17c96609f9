"""A local Functions host: runs any `function_app.py` unchanged, without Core Tools.

In reading order: `__main__` (command line), `lifecycle` (start and stop), `config` and `index` (what is to run),
`routes`, `keys`, `http` and `admin` (HTTP), `queues` and `messages` (Storage queues), `ncrontab`, `timers` and
`singleton` (of several hosts one fires), `convert` and `invoke` (one call of one function), `process` (the host as a
child process, for tests and the demo).

Imitated as host guide section C describes. Left out, on purpose: output bindings other than the HTTP response and
every trigger other than HTTP, Storage queue and timer (refused at start); `@app.retry`; `functionTimeout`; timer
monitors (`use_monitor`, past-due runs); `WEBSITE_TIME_ZONE` (schedules are UTC); identity-based connections; the home
page on `/`.
"""
