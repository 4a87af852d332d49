"""The usual way to build this: FastAPI, uvicorn, sse-starlette and the openai SDK, one event a token. Nothing is stored.

    OPENAI_BASE_URL=http://127.0.0.1:9101/v1 python benchmarks/_peer_fastapi.py PORT
"""

import json
import sys

import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
model = AsyncOpenAI(api_key="none", max_retries=0)


class Question(BaseModel):
    message: str


@app.post("/api/chat/stream")
async def stream(question: Question) -> EventSourceResponse:
    return EventSourceResponse(events(question.message))


async def events(message: str):
    answer = await model.chat.completions.create(model="bench", messages=[{"role": "user", "content": message}], stream=True,
                                                 stream_options={"include_usage": True})
    async for chunk in answer:
        if chunk.choices and chunk.choices[0].delta.content:
            yield {"event": "token", "data": json.dumps({"type": "token", "content": chunk.choices[0].delta.content})}
    yield {"event": "done", "data": "{}"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
