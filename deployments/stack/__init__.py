"""The local stack: PostgreSQL, a Prefect server and workers under one supervisor."""
