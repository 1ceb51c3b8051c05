"""The front's pages: where they are, the descriptions, health, and what is not there."""

from __future__ import annotations

import json

import pytest

from msim_xds.server.front import WsgiApplication
from tests.support.paths import REGISTRY, REPOSITORY
from tests.test_server.conftest import Server
from tests.test_server.soap import PROVIDE_ACTION, QUERY_ACTION, call, envelope, get, post


def test_home_page(app: WsgiApplication) -> None:
    page = get(app, "/")
    text = page.body.decode()
    assert page.status == 200
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for expected in (
        "http://127.0.0.1:8080/xds/registry",
        "xds/repository?wsdl",
        "ITI-41",
        "Rejestr",
        "Registry",
    ):
        assert expected in text


def test_endpoint_page_lists_its_wsdl_and_actions(app: WsgiApplication) -> None:
    text = get(app, REPOSITORY).body.decode()
    assert 'href="?wsdl"' in text
    assert 'href="?wsdl=rmd"' in text
    assert PROVIDE_ACTION in text
    assert QUERY_ACTION not in text


@pytest.mark.parametrize("query", ["wsdl", "WSDL", "wsdl=", "wsdl&x=1"])
def test_wsdl(app: WsgiApplication, query: str) -> None:
    answer = get(app, REGISTRY, query)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert b'location="http://127.0.0.1:8080/xds/registry"' in answer.body
    assert b"http://127.0.0.1:8080/xds/registry?xsd=query.xsd" in answer.body


@pytest.mark.parametrize(
    ("path", "key", "operation"),
    [
        (REGISTRY, "2010", b"DocumentRegistry_DeleteDocumentSet"),
        (REGISTRY, "RMU", b"UpdateResponder_RestrictedUpdateDocumentSet"),
        (REPOSITORY, "rmd", b"DocumentRepository_RemoveDocuments"),
    ],
)
def test_wsdl_of_supplements(app: WsgiApplication, path: str, key: str, operation: bytes) -> None:
    answer = get(app, path, f"wsdl={key}")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert operation in answer.body


def test_a_wsdl_that_is_not_there(app: WsgiApplication) -> None:
    answer = get(app, REPOSITORY, "wsdl=2010")
    assert answer.status == 404
    assert b"?wsdl, ?wsdl=rmd" in answer.body


def test_xsd(app: WsgiApplication) -> None:
    assert b"?xsd=xml.xsd" in get(app, REGISTRY, "xsd=rim.xsd").body
    for name in ("../setup.cfg", "..%2Fsetup.cfg", "", "nothing.xsd"):
        assert get(app, REGISTRY, f"xsd={name}").status == 404


def test_host_header_changes_nothing(app: WsgiApplication) -> None:
    answer = call(
        app,
        {"REQUEST_METHOD": "GET", "PATH_INFO": REGISTRY, "QUERY_STRING": "wsdl", "HTTP_HOST": "evil.example"},
    )
    assert b"evil.example" not in answer.body


def test_health(app: WsgiApplication, server: Server) -> None:
    server.facts = {"ready": True, "database": "ok"}
    for path in ("/health", "/health/ready"):
        answer = get(app, path)
        assert answer.status == 200
        assert json.loads(answer.body) == {"ready": True, "database": "ok"}
    server.facts = {"ready": False}
    assert get(app, "/health").status == 503
    assert get(app, "/health/live").status == 200


def test_head_has_no_body(app: WsgiApplication) -> None:
    answer = get(app, "/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


@pytest.mark.parametrize("path", ["/nothing", "/xds/registry/..", "/xds", "//xds/registry", "/../etc/passwd"])
def test_unknown_path(app: WsgiApplication, path: str) -> None:
    for answer in (get(app, path), post(app, path, envelope())):
        assert answer.status == 404
        assert b"/xds/registry" in answer.body


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [("/", "POST", "GET, HEAD"), (REGISTRY, "PUT", "GET, HEAD, POST"), ("/health", "DELETE", "GET, HEAD")],
)
def test_method_not_allowed(app: WsgiApplication, path: str, method: str, allow: str) -> None:
    answer = get(app, path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


def test_guard_of_pages(server: Server) -> None:
    app = server.build()
    server.facts = None  # type: ignore[assignment]
    answer = get(app, "/health")
    assert answer.status == 500
    assert b"reference" in answer.body
    assert b"Traceback" not in answer.body
