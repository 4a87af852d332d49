"""Checkpoints in the database."""

from collections.abc import Mapping

from sqlalchemy import select

from services.store.database import Database
from services.store.models import WorkflowNode
from services.workflows.results import NodeResult


class StoredCheckpoints:
    """The finished nodes of every run; a run's id is its turn's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, run_id: str) -> Mapping[str, NodeResult]:
        wanted = select(WorkflowNode).where(WorkflowNode.turn_id == run_id)
        rows = self._database.read(lambda session: list(session.scalars(wanted)))
        return {row.node: NodeResult.from_payload(row.result) for row in rows}

    def save(self, run_id: str, result: NodeResult) -> None:
        """Durable when it returns. A node that two attempts finished keeps the later result."""
        row = WorkflowNode(turn_id=run_id, node=result.node, result=result.payload())
        self._database.write(lambda session: session.merge(row))
