"""An answer as it is written: an LLM stream's deltas in, events on the turn's log out, and what history keeps of it."""

import time

from gevent.hub import get_hub

from services.events import BlockClosed, ChatCompleted, ChatFailed, Event, ProviderSwitched, TokenArrived, data, wire
from services.llm.deltas import Began, Content, Delta, Finished, Reasoning, Switched
from services.llm.trail import Trail
from services.market.evidence import EvidencePack
from services.presentation import answer_html, checked, told
from services.render import Block, BlockRenderer
from services.streams.log import TurnLog
from services.workflows.runs import RunState
from services.workflows.service import Run


class Answer:
    """One attempt's answer. Every method runs in the turn's greenlet and switches to no other."""

    def __init__(self, message_id: str, log: TurnLog, renderer: BlockRenderer | None) -> None:
        self._message_id = message_id
        self.log = log
        self._renderer = renderer
        self._pieces: list[str] = []
        self._reasoning: list[str] = []
        self._metadata: dict[str, str] | None = None
        self._started = time.monotonic()
        self._first: float | None = None
        self._tokens = 0
        self.provider: str | None = None
        self.model: str | None = None
        self.finish_reason = "stop"
        self.trail = Trail()  # filled by the LLM service, also for an answer that is stopped or fails
        self.kept = ""  # what an earlier attempt wrote: better than nothing, should this one write nothing
        self.switches: list[dict[str, object]] = []
        self.pack: EvidencePack | None = None
        self.run: Run | None = None
        self.run_state: RunState | None = None
        self.evidence: dict[str, object] | None = None
        self._checked_html: str | None = None

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def html(self) -> str | None:
        """The finished blocks, with their figures marked once they are checked; None when nobody asked for HTML."""
        if self._renderer is None or self._checked_html is not None:
            return self._checked_html
        return "".join(block.html for block in self._renderer.blocks)

    def take(self, delta: Delta) -> None:
        """Turn one delta into events."""
        if type(delta) is Content:
            self._content(delta.text)
        elif type(delta) is Reasoning:
            self._reasoning.append(delta.text)
            self.log.append(TokenArrived(content=delta.text, channel="reasoning", metadata=self._take_metadata()))
        elif type(delta) is Began:
            self.provider, self.model = delta.provider, delta.model
            self._metadata = {"provider": delta.provider, "model": delta.model}
        elif type(delta) is Switched:
            self._switched(delta)
        elif type(delta) is Finished:
            self.provider, self.model, self.finish_reason = delta.provider, delta.model, delta.reason

    def _content(self, text: str) -> None:
        if self._first is None:
            self._first = time.monotonic()
        if self._metadata is not None:
            self.log.append(TokenArrived(content=text, metadata=self._take_metadata()))
        else:
            self.log.append_token(text)
        self._pieces.append(text)
        self._tokens += 1
        if self._renderer is not None:
            self._show(self._renderer.feed(text))

    def _take_metadata(self) -> dict[str, str] | None:
        metadata, self._metadata = self._metadata, None
        return metadata

    def _switched(self, delta: Switched) -> None:
        self.discard(delta.discard_from)
        event = ProviderSwitched(source=delta.source, target=delta.target, reason=delta.reason, message=delta.message,
                                 mode=delta.mode, discard_from=delta.discard_from, attempt=delta.attempt)
        self.switches.append({"from": delta.source, "to": delta.target, "reason": delta.reason,
                              "message": delta.message, "mode": delta.mode, "discardFrom": delta.discard_from})
        self.log.append(event)

    def discard(self, offset: int) -> None:
        """Forget the text after code point `offset`, and all reasoning: its writer is gone."""
        self._pieces = [self.text[:offset]]
        self._reasoning = []
        if self._renderer is not None:
            self._renderer.reset(offset)

    def restore(self, text: str) -> None:
        """Begin with text that an earlier attempt wrote and readers have."""
        self._pieces = [text]
        if self._renderer is not None:
            self._show(self._renderer.feed(text))

    def finish(self) -> None:
        """Close the last block. Nothing is taken after this. Where nothing was written, `kept` text is the answer."""
        if self.kept and not self.text:
            self._content(self.kept)
        if self._renderer is not None:
            self._show(self._renderer.finish())

    def check_figures(self, question: str) -> None:
        """Match the figures with the evidence, in a thread, and render once more with what was found. After `finish`."""
        pack = self.run.pack if self.run is not None else self.pack
        if pack:
            apply = get_hub().threadpool.apply
            self.evidence = apply(checked, (self.text, pack, question))
            if self._renderer is not None:
                self._checked_html = apply(answer_html, (self.text, self.evidence))

    def _show(self, blocks: list[Block]) -> None:
        for block in blocks:
            self.log.append(BlockClosed(index=block.index, html=block.html, end=block.end))

    def completed(self, reason: str) -> ChatCompleted:
        """The last event of an answer that ended well, or was stopped. After `finish`."""
        return ChatCompleted(message_id=self._message_id, provider=self.provider, model=self.model, finish_reason=reason,
                             tokens_used=self.completion_tokens, usage=self.usage_summary(), metrics=self.metrics(),
                             html=self.html, evidence=told(self.evidence))

    def failed(self, code: str, message: str, *, retryable: bool) -> ChatFailed:
        """The last event of an answer that did not come to its end; closes the last block."""
        self.finish()
        return ChatFailed(code=code, message=message, retryable=retryable, partial=bool(self.text))

    def columns(self, event: Event) -> dict[str, object]:
        """What history keeps of the answer that ended with `event`."""
        made = {"provider": self.provider, "model": self.model, "usage": self.usage_summary(), "metrics": self.metrics(),
                "switches": self.switches}
        if isinstance(event, ChatFailed):
            status = "error"
            made["error"] = {"code": event.code, "message": event.message, "retryable": event.retryable}
        else:
            status = "stopped" if event.finish_reason == "stopped" else "complete"
            made["finishReason"] = event.finish_reason
        return {"content": self.text, "reasoning": self.reasoning, "status": status, "made": made,
                "evidence": self.evidence, "workflow": self._workflow(event)}

    def _workflow(self, last: Event) -> dict[str, object] | None:
        """The run as it stands after the turn's last event."""
        if not self.run_state:
            return None
        self.run_state.apply(data(last))
        return self.run_state.to_dict()

    def metrics(self) -> dict[str, object]:
        """Times of this attempt: ms to the first token and to now, and tokens per second in between (None without)."""
        now = time.monotonic()
        writing = now - self._first if self._first is not None else 0.0
        return {
            "ttftMs": round((self._first - self._started) * 1000) if self._first is not None else None,
            "durationMs": round((now - self._started) * 1000),
            # A workflow's tokens are mostly its agents', written before the answer began.
            "tokensPerSecond": round((self._tokens if self.run else self.completion_tokens) / writing, 1) if writing > 0.001 else None,
            "attempts": [wire(attempt) for attempt in self.trail.attempts],
        }

    @property
    def completion_tokens(self) -> int:
        """As the provider counted them, else the pieces that came."""
        counted = sum(usage.completion_tokens for usage in self.trail.usage if not usage.wasted)
        return counted or self._tokens

    def usage_summary(self) -> dict[str, object]:
        """All tokens spent on this answer, wasted ones too, with their cost where every price is known."""
        costs = [usage.cost for usage in self.trail.usage]
        return {
            "promptTokens": sum(usage.prompt_tokens for usage in self.trail.usage),
            "completionTokens": sum(usage.completion_tokens for usage in self.trail.usage),
            "wastedTokens": sum(usage.prompt_tokens + usage.completion_tokens for usage in self.trail.usage if usage.wasted),
            "estimated": any(usage.estimated for usage in self.trail.usage),
            "cost": round(sum(costs), 6) if costs and None not in costs else None,
            "byAttempt": [wire(usage) for usage in self.trail.usage],
        }
