"""What the rest of the application asks of workflows: what would run, run it, tell how it stands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from services.cancellation import Cancellation
from services.errors import InvalidRequest
from services.llm.deltas import Delta
from services.llm.trail import Trail
from services.market.measures import Item
from services.questions import Question
from services.workflows.agents import LLM, Agents
from services.workflows.arbiter import Arbiter
from services.workflows.broadcaster import Broadcaster, Log
from services.workflows.budget import Budget
from services.workflows.catalogue import WORKFLOWS, validate
from services.workflows.desk import Desk, WriteReport
from services.workflows.detector import Detection, chosen, detect
from services.workflows.engine import Engine
from services.workflows.features import window
from services.workflows.jobs import Job, Pack
from services.workflows.results import Checkpoints
from services.workflows.runs import RunState
from services.workflows.screening import screened

SEEKING = ("marketOpportunity",)  # workflows that look for instruments where the question names none
Context = Mapping[str, object]
FindSymbols = Callable[[str, Context], Sequence[str]]
GatherEvidence = Callable[[str, Context], Pack]


class Workflows:
    """One for the application. `find_symbols` and `gather` are the market desk's; `arbiter` is there where a model is.

    `universe` names what a search for opportunities looks through.
    """

    def __init__(
        self, llm: LLM, *, find_symbols: FindSymbols, gather: GatherEvidence, write_report: WriteReport | None = None,
        arbiter: Arbiter | None = None, budget: Budget = Budget(), per_run: int = 4, per_server: int = 128,
        universe: Callable[[], Sequence[str]] = tuple, today: Callable[[], date] = date.today,
    ) -> None:  # fmt: skip
        validate(WORKFLOWS.values())
        self._find_symbols = find_symbols
        self._gather = gather
        self._arbiter = arbiter
        self._budget = budget
        self._universe = universe
        self._today = today
        self._engine = Engine(Agents(llm, Desk(write_report)), per_run=per_run, per_server=per_server)

    def catalogue(self) -> list[dict[str, object]]:
        """Every workflow, as the page offers it."""
        return [workflow.describe() for workflow in WORKFLOWS.values()]

    def check(self, choice: str) -> None:
        """Raise InvalidRequest unless it is `auto`, `off` or a workflow's id."""
        if choice not in ("auto", "off") and choice not in WORKFLOWS:
            raise InvalidRequest(f"must be auto, off or one of {', '.join(WORKFLOWS)}", field="workflow")

    def detect(self, question: Question) -> Detection:
        """What this question starts. Raises InvalidRequest for a workflow that does not exist."""
        detection = self.foresee(question)
        return self._arbiter.decide(question.message, detection) if self._arbiter and question.workflow == "auto" else detection

    def foresee(self, question: Question) -> Detection:
        """As `detect`, without asking a model: for somebody who is still typing."""
        self.check(question.workflow)
        symbols = self._find_symbols(window(question.message), question.context)
        if question.workflow != "auto":
            return chosen(question.workflow, symbols)
        return detect(question.message, symbols)

    def begin(
        self, question: Question, detection: Detection, run_id: str, log: Log, earlier: Sequence[Mapping[str, str]] = ()
    ) -> "Run":
        """A run of the workflow that was detected; `run_id` names it in events and checkpoints. Nothing happens yet."""
        job = Job(
            run_id, WORKFLOWS[detection.workflow].expanded(detection.symbols), question.message, question.assistant_type,
            question.context, earlier, provider=question.provider, model=question.model, budget=self._budget,
        )  # fmt: skip
        seeking = detection.workflow in SEEKING and not detection.symbols
        gather = self._screen if seeking else self._gather
        return Run(self._engine, job, Broadcaster(job, log), detection.reason, gather, self._today)

    def _screen(self, question: str, context: Context) -> Pack:
        """The evidence of the best of everything there are prices for."""
        return screened(self._gather(question, {**context, "symbols": list(self._universe())}))


class Run:
    """One run: its answer as deltas, its evidence once gathered, and its state, which history keeps."""

    def __init__(
        self, engine: Engine, job: Job, broadcaster: Broadcaster, reason: str, gather: GatherEvidence, today: Callable[[], date]
    ) -> None:
        self._engine = engine
        self._job = job
        self._broadcaster = broadcaster
        self._reason = reason
        self._gather = gather
        self._today = today

    @property
    def state(self) -> RunState:
        return self._broadcaster.state

    @property
    def pack(self) -> Pack | None:
        """The evidence, None until it is gathered; at the end with the figures of the overall verdict, which answers quote."""
        pack, result = self._job.pack, self.state.result
        if pack is None or "verdict" not in result:
            return pack
        return replace(pack, items=(*_verdict_items(result["verdict"]), *pack.items))

    def deltas(self, cancellation: Cancellation, checkpoints: Checkpoints, trail: Trail | None = None) -> Iterator[Delta]:
        """Say what will run, gather the evidence once for all agents, run them, stream the answer. As Engine.run."""
        with self._broadcaster as broadcaster:
            broadcaster.detected(self._job.workflow, self._job.run_id, self._reason)
            self._job.pack = self._evidence(cancellation)
            self._job.data_age_days = age_days(self._job.pack, self._today())
            yield from self._engine.run(self._job, cancellation, checkpoints, trail)

    def _evidence(self, cancellation: Cancellation) -> Pack:
        """Gathered in a greenlet of its own: a stop does not wait for a market source."""
        economist = any(node.agent == "economist" for node in self._job.workflow.nodes)
        context = {**self._job.context, **({"assistant": "economist"} if economist else {})}
        return cancellation.wait_for(self._gather, self._job.question, context)


def _verdict_items(verdict: Mapping[str, object]) -> Iterator[Item]:
    """What was computed from the specialists' verdicts, as evidence."""
    for name, label, unit in (("confidence", "Confidence of the conclusion", "points"), ("agreement", "Agreement of the views", "ratio")):
        if verdict[name] is not None:
            yield Item(f"verdict:{name}", label, float(verdict[name]), unit, "the specialists' verdicts", "see docs/workflows.md")


def age_days(pack: Pack | None, today: date) -> float | None:
    """How old the newest price of the evidence is, None without one."""
    days = [item.as_of for item in pack.items if item.symbol and item.as_of] if pack is not None else []
    return float((today - max(days)).days) if days else None
