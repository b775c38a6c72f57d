"""/openapi.json and /docs: how they are served."""

import hashlib
import json
import re

import pytest

from handlers.application import Application
from tests.harness.api import Api
from tests.harness.configuration import ROOT, override_settings
from tests.harness.raw_http import answer_to, raw_request

PATHS = {
    "/openapi.json": "application/json; charset=UTF-8",
    "/docs": "text/html; charset=UTF-8",
    "/docs/docs.css": "text/css; charset=UTF-8",
    "/docs/docs.js": "text/javascript; charset=UTF-8",
    "/docs/swagger-ui.css": "text/css; charset=UTF-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=UTF-8",
    "/docs/problems.md": "text/plain; charset=UTF-8",
}
SUM = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)


@pytest.mark.gen_test
async def test_documents_are_public_and_must_be_revalidated(api: Api) -> None:
    for path, media_type in PATHS.items():
        answer = await api.request("GET", path)
        assert answer.status == 200, path
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Cache-Control"] == "no-cache"
        assert re.fullmatch(r'"[\w-]{24}"', answer.headers["ETag"])
        assert answer.content


@override_settings(PAGES__ENABLED=False)
def test_no_other_file_is_served(app: Application) -> None:
    linked = {f"/auth/{page}" for page in ("verify", "reset", "undo", "forgot")}
    assert set(app.static_documents) == {*PATHS, *linked}


@pytest.mark.gen_test
async def test_the_page_loads_nothing_from_elsewhere(api: Api) -> None:
    policy = (await api.request("GET", "/docs")).headers["Content-Security-Policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


@pytest.mark.gen_test
async def test_head_returns_the_fields_of_get(api: Api) -> None:
    for path in PATHS:
        got, headed = [await api.request(method, path) for method in ("GET", "HEAD")]
        assert headed.status == 200
        assert headed.content == b""
        for name in ("Content-Length", "Content-Type", "ETag", "Content-Security-Policy"):
            assert headed.headers[name] == got.headers[name]


@pytest.mark.gen_test
async def test_another_method_is_405_and_options_lists_the_methods(api: Api) -> None:
    for path in PATHS:
        rejected = await api.request("POST", path, body=b"")
        assert (rejected.status, rejected.problem) == (405, "method-not-allowed")
        assert rejected.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert rejected.headers["Cache-Control"] == "no-store"
        asked = await api.request("OPTIONS", path)
        assert (asked.status, asked.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.gen_test
async def test_a_matching_entity_tag_is_304_without_content(api: Api) -> None:
    for path in PATHS:
        tag = (await api.request("GET", path)).headers["ETag"]
        for given in (tag, f"W/{tag}", f'"other", {tag}', f'"a,b" ,W/"c",{tag}', "*", " * "):
            for method in ("GET", "HEAD"):
                request = raw_request(method, path, f"If-None-Match: {given}")
                answer = await answer_to(api, request)
                assert (answer.status, answer.content) == (304, b""), given
                assert answer.headers["ETag"] == tag
                assert "Content-Length" not in answer.headers


@pytest.mark.parametrize("given", ["", "other", '"other"', '"', "W/", "**", '"*"', 'w/"x"', "\xff"])
@pytest.mark.gen_test
async def test_another_entity_tag_gets_the_content(api: Api, given: str) -> None:
    answer = await answer_to(api, raw_request("GET", "/docs", f"If-None-Match: {given}"))
    assert (answer.status, answer.content[:9]) == (200, b"<!doctype")


def test_another_content_has_another_entity_tag(app: Application) -> None:
    tags = {app.static_documents[path].entity_tag for path in PATHS}
    assert len(tags) == len(PATHS)


@override_settings(DOCS__ENABLED=False)
@pytest.mark.gen_test
async def test_without_docs_enabled_only_the_page_on_problems_is_served(api: Api) -> None:
    for path in set(PATHS) - {"/docs/problems.md"}:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            assert (await api.request(method, path)).status == 404, (method, path)


@pytest.mark.gen_test
async def test_the_last_response_of_a_draining_server_is_complete(
    api: Api, app: Application
) -> None:
    app.draining = True
    answer = await api.request("GET", "/docs/swagger-ui-bundle.js")
    assert len(answer.content) == int(answer.headers["Content-Length"]) > 1_000_000


@pytest.mark.parametrize("settings", [{}, {"DOCS__ENABLED": False}], indirect=True)
@pytest.mark.gen_test
async def test_the_type_of_a_problem_links_to_its_explanation(api: Api) -> None:
    path, _, name = (await api.request("GET", "/nowhere")).json["type"].partition("#")
    page = (await api.request("GET", path)).content.decode()
    assert f"\n## {name}\n" in page


@pytest.mark.parametrize("path", ["web/swagger-ui", "tests/harness/axe"])
def test_files_of_others_are_unmodified(path: str) -> None:
    folder = ROOT / path
    sums = SUM.findall((folder / "VERSION.txt").read_text(encoding="utf-8"))
    assert {name for _, name in sums} == {file.name for file in folder.iterdir()} - {"VERSION.txt"}
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.gen_test
async def test_the_openapi_document_is_json_with_the_version(api: Api) -> None:
    document = json.loads((await api.request("GET", "/openapi.json")).content)
    assert document["openapi"].startswith("3.1.")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{document["info"]["version"]}"' in project
