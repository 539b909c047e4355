# SPDX-License-Identifier: Apache-2.0
"""The contract: that it is sound itself, that the tests' check of answers against it bites, and the page to browse it."""
import copy
import gzip
import json
import re
import shutil
import subprocess
import urllib.request

import pytest

from lib import contract, kit


@pytest.fixture
def document(sluice):
    return contract.Contract.of(sluice.url).document


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, item, operation


def test_the_contract_is_sound(document):
    import jsonschema
    assert document["openapi"].startswith("3.1")
    held = contract.Contract(document)
    for reference in set(references(document)):
        assert held.resolve({"$ref": reference}), reference
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert "nullable" not in json.dumps(schema), f"{name}: OpenAPI 3.1 has null as a type"
    for path, method, item, operation in operations(document):
        named = set(re.findall(r"{(\w+)}", path))
        declared = {held.resolve(parameter)["name"] for parameter in item.get("parameters", []) + operation.get("parameters", [])
                    if held.resolve(parameter)["in"] == "path"}
        assert named == declared, f"{method} {path}"
        assert operation["summary"] and operation["tags"], f"{method} {path}"
        for status, response in operation["responses"].items():
            response = held.resolve(response)
            assert response.get("description"), f"{method} {path} {status}"
            if int(status) >= 400:
                assert "application/json" in response["content"], f"{method} {path} {status}"


def test_the_contract_comes_as_yaml_too(sluice, document):
    import yaml
    request = urllib.request.Request(sluice.url + "/iot-flow/v1/v3/api-docs", headers={"Accept": "application/yaml"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/yaml"
        assert yaml.safe_load(answer.read()) == document


def test_an_answer_outside_of_the_contract_is_noticed(sluice, document):
    def check(changed, path="/connectors", status=200, body=None):
        headers = {"X-Correlation-Id": "x", "Content-Type": "application/json"}
        body = body if body is not None else [{"id": "a", "producerId": "b", "moduleId": "c", "version": "1"}]
        contract.Contract(changed).check("GET", f"{sluice.url}/iot-flow/v1{path}", status, headers, json.dumps(body))

    check(document)
    for broken, what in ((dict(status=418), "contract has only"), (dict(body=[{"id": "a"}]), "required"),
                         (dict(body={"code": "com-4004", "message": "m", "extra": 1}, status=401), "Additional"),
                         (dict(path="/nowhere"), "no such operation")):
        with pytest.raises(contract.Breach, match=what):
            check(document, **broken)
    less = copy.deepcopy(document)
    del less["components"]["schemas"]["connector"]["properties"]["version"]
    with pytest.raises(contract.Breach, match="Additional properties"):
        check(less)


def test_every_open_and_every_listing_operation_answers_by_the_contract(api, document):
    """Each GET without parameters in its path; the kit holds the answers against the contract."""
    answered = 0
    for path, method, item, operation in operations(document):
        streams = "text/event-stream" in json.dumps(operation.get("responses", {}))
        needs = any(parameter.get("required") for parameter in operation.get("parameters", []))
        if method != "get" or "{" in path or streams or needs:
            continue
        status, text, headers = api.raw("GET", api.host + path)
        assert status < 300, f"{path}: {status} {text[:200]}"
        answered += 1
    assert answered > 15


def test_paging_headers_and_links(api):
    for number in range(5):
        api.post("/binders", {"type": "thingpark", "name": f"b{number}", "asId": "a", "asKey": "0" * 32})
    for path in ("/drivers", "/flows", "/events", "/ontology/units", "/connections", "/binders", "/connectors"):
        status, text, headers = api.raw("GET", f"{api.url}{path}?page=1&perPage=1&q=a&access_token=x")
        assert status == 200 and headers["X-Page"] == "1" and headers["X-Per-Page"] == "1", path
        assert int(headers["X-Total-Pages"]) == max(1, int(headers["X-Total"])), path
        links = dict(re.findall(r'<([^>]+)>; rel="(\w+)"', headers["Link"]) and
                     [(rel, url) for url, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', headers["Link"])])
        assert {"first", "last"} <= links.keys() and "q=a" in links["first"] and "access_token" not in headers["Link"], path
        assert ("next" in links) == (int(headers["X-Total-Pages"]) > 1) == (headers["X-Next-Page"] is not None), path
        status, text, headers = api.raw("GET", f"{api.url}{path}?page=100000&perPage=1")
        assert status == 200 and json.loads(text) == [], path
        for bad in ("page=0", "perPage=5001", "perPage=x"):
            assert api.raw("GET", f"{api.url}{path}?{bad}")[0] == 400, (path, bad)


def test_error_bodies(api):
    for method, path, body, headers, status, code in (
            ("GET", "/nowhere", None, {}, 404, "com-4004"), ("PUT", "/connectors", b"{}", {}, 405, "com-4005"),
            ("GET", "/connectors", None, {"Accept": "text/html"}, 406, "com-4006"),
            ("POST", "/flows", b"<a/>", {"Content-Type": "text/xml"}, 415, "com-4015"),
            ("POST", "/flows", b"{", {"Content-Type": "application/json"}, 400, "com-4000"),
            ("POST", "/flows", b" " * (5 * 1024 * 1024 + 1), {"Content-Type": "application/json"}, 413, "com-4013"),
            ("GET", "/connectors", None, {"Authorization": "Bearer x"}, 401, "com-4001")):
        got, text, answered = api.raw(method, api.url + path, body, {"X-Correlation-Id": "my-own", **headers})
        assert got == status, (method, path, got, text)
        problem = json.loads(text)
        assert problem["code"] == code and problem["message"]
        if status != 413:
            assert problem["correlationId"] == answered["X-Correlation-Id"] == "my-own"
        if status == 405:
            assert answered["Allow"] == "GET, HEAD"


def test_a_nearly_known_key_is_kept_and_told_of(api):
    created = api.post("/connections", {
        "connectorId": "actility-http-iot", "active": False,
        "configuration": {"destinationURL": "http://127.0.0.1:1/", "destinatonURL": "typo", "headers": {"X-Own": "1"}}})
    assert created["configuration"]["destinatonURL"] == "typo"
    told = kit.wait_for(lambda: api.get(f"/events?q_connectionId={created['id']}&code=connection-1008"), 5, "the event")
    assert len(told) == 1 and told[0]["level"] == "warn" and "destinationURL" in told[0]["message"]
    assert "typo" not in json.dumps(told)


def test_the_page_to_browse_it(sluice):
    base = sluice.url + "/iot-flow/v1/swagger-ui"
    for short in (".html", ""):
        with urllib.request.urlopen(base + short, timeout=10) as answer:
            assert answer.url == base + "/"
            page = answer.read().decode()
            assert answer.headers["Content-Type"].startswith("text/html")
            policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "http" not in policy
    parts = re.findall(r'(?:src|href)="([^".][^"]*)"', page)
    assert len(parts) == 4 and not [part for part in parts if part.startswith(("http", "//"))]
    for part in parts:
        with urllib.request.urlopen(f"{base}/{part}", timeout=10) as answer:
            plain, tag = answer.read(), answer.headers["ETag"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        packed = urllib.request.Request(f"{base}/{part}", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(packed, timeout=10) as answer:
            body = answer.read()
            if answer.headers["Content-Encoding"] == "gzip":
                assert gzip.decompress(body) == plain and answer.headers["ETag"] != tag
            else:
                assert body == plain
        with pytest.raises(urllib.error.HTTPError) as unchanged:
            urllib.request.urlopen(urllib.request.Request(f"{base}/{part}", headers={"If-None-Match": tag}), timeout=10)
        assert unchanged.value.code == 304


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the package chromium")
def test_the_page_shows_every_operation(sluice, document, tmp_path):
    shown = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=30000",
         "--dump-dom", sluice.url + "/iot-flow/v1/swagger-ui/"], capture_output=True, text=True, timeout=120).stdout
    blocks = re.findall(r'<div class="opblock opblock-(\w+)', shown)
    assert len(blocks) == sum(1 for _ in operations(document)), shown[-2000:]
    assert "Authorize" in shown
