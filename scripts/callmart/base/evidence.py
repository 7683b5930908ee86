"""What the register of requests may say in words: places, what is counted in them, and why one is blocked.

The database takes no other words, so nothing of a person can get in as one. schema.py fills these lists into
objects/privacy.sql; privacy/places.py has the places themselves.
"""

PLACES = (
    "doorway",
    "build",
    "events",
    "registry",
    "marts",
    "extracts",
    "drawn reports",
    "outbox",
    "tableau content",
    "tableau users",
    "emulator",
    "registry of customers",
    "landed files",
    "usage",
    "books",
    "register",
    "checks and logs",
    "keys and secrets",
    "demo",
    "temporary files",
    "registry file",
    "elsewhere",
    "server files",
)

# What can block besides a place: something that belongs to none, and the search before anything is erased.
ALSO_BLOCKING = ("places", "control")

# What is counted. Rows of a mart are counted under the mart's name, which the database knows.
WORDS = (
    "events outside calls",
    "events in calls",
    "calls",
    "cells hidden",
    "cells staffing",
    "cells callers",
    "registry.agent",
    "registry.contact",
    "registry.recipient",
    "registry.mailed",
    "tables",
    "files",
    "raw files",
    "pages",
    "mails",
    "databases",
    # On Tableau.
    "groups",
    "users",
    "members",
    "projects",
    "permissions",
    "data sources",
    "workbooks",
    "schedules",
    "subscriptions",
    "flows",
    "custom views",
    "data sources of others",
    "workbooks of others",
    "flows of others",
    "custom views of others",
    "list of datasources",
    "list of workbooks",
    "list of flows",
    "list of custom_views",
    "list of projects",
    "list of views",
    "list of data_alerts",
    "list of databases",
    "list of tables",
    "list of virtual_connections",
    "list of metrics",
    "list of schedules",
    "list of webhooks",
    "list of jobs",
    # Of a control and of a proof.
    "found before",
    "left",
    "to_attest",
)

CODES = (
    "control",
    "drift",
    "emulator",
    "extract",
    "failed",
    "held back",
    "key",
    "landing",
    "lock",
    "log",
    "tableau",
    "undeclared",
    "unknown place",
)
