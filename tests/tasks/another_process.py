"""Transpiles a batch's jobs in a process that has no compiler: all must be in the cache.

``python -m tests.tasks.another_process <payload folder> <batch>``, the address in LEDGER_URL.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from qpuflow.tasks.transpile import transpile
from tests.ledger import databases
from tests.tasks.journalled import JournalledQpu
from tests.tasks.pipeline import Pipeline, run


async def main(payloads: str, batch_id: str) -> None:
    nobody: Any = None
    async with databases.opened(os.environ["LEDGER_URL"], Path(payloads)) as ledger:
        pipeline = Pipeline(ledger, JournalledQpu(Path(payloads, "none")), nobody)
        chunk = await pipeline.take(await pipeline.begin(UUID(batch_id)))
        chunk = await run(transpile, chunk)
    for work in chunk.works:
        hashes = [part.payload_hash for parts in work.parts for part in parts]
        sys.stdout.write(f"{work.job.id} {' '.join(hashes)}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
