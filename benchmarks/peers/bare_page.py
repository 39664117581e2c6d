"""A FastAPI page that does nothing but answer: `python bare_page.py PORT FILE`."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
content = Path(sys.argv[2]).read_text("utf-8")


@app.get("/")
async def page() -> HTMLResponse:
    """Return the same text, always."""
    return HTMLResponse(content)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=False,
        server_header=False,
        log_level="warning",
    )
