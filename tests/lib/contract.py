# SPDX-License-Identifier: Apache-2.0
"""Holds every answer against the contract that the server itself serves: the status must be documented, the media type
too, and the body must fit its schema. Schemas count as closed here: a member that the contract does not name is a fault,
though clients have to ignore what they do not know."""
import json
import urllib.parse
import urllib.request

import jsonschema

# Of a long list as many are checked, from its start; and the last one.
MOST_ITEMS = 30
_HEADERS = {"X-Total", "X-Total-Pages", "X-Per-Page", "X-Page"}


class Breach(AssertionError):
    """An answer that the contract does not have."""


def _closed(node):
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _closed(value) for key, value in node.items()}
    composed = any(key in node for key in ("allOf", "anyOf", "oneOf", "additionalProperties", "patternProperties"))
    if isinstance(node.get("properties"), dict) and "type" in node and not composed:
        made["additionalProperties"] = False
    return made


class Contract:
    def __init__(self, document):
        self.document = document
        closed = _closed({"components": document["components"]})
        self.resolver = jsonschema.RefResolver("", closed)
        self.paths = [(path, path.split("/"), item) for path, item in document["paths"].items()]
        self.validators = {}
        self.seen = set()  # (method, path, status) of the answers checked

    @classmethod
    def of(cls, host):
        with urllib.request.urlopen(host + "/iot-flow/v1/v3/api-docs", timeout=10) as answer:
            return cls(json.load(answer))

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            at = self.document
            for part in node["$ref"].lstrip("#/").split("/"):
                at = at[part.replace("~1", "/").replace("~0", "~")]
            node = at
        return node

    def find(self, path, method=None):
        """(template, path item) of a request's path; of two that fit, one that has the method, then the one with fewer
        parameters: as the server finds its route."""
        parts, best = path.split("/"), None
        for template, pattern, item in self.paths:
            if len(pattern) != len(parts):
                continue
            if all(want == got or (want.startswith("{") and got) for want, got in zip(pattern, parts)):
                holes = (method is not None and method not in item, template.count("{"))
                if best is None or holes < best[0]:
                    best = (holes, template, item)
        return best[1:] if best else (None, None)

    def _validate(self, key, schema, value):
        validator = self.validators.get(key)
        if validator is None:
            validator = self.validators[key] = jsonschema.Draft202012Validator(_closed(schema), resolver=self.resolver)
        if isinstance(value, list) and len(value) > MOST_ITEMS:
            value = value[:MOST_ITEMS] + value[-1:]
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if error:
            place = "/".join(str(part) for part in error.absolute_path)
            raise Breach(f"{' '.join(map(str, key))}: the body breaks its schema at /{place}: {error.message[:400]}")

    def check(self, method, url, status, headers, text):
        """Raises Breach where the contract does not have this answer. `text` may be None: not looked at (a stream)."""
        path = urllib.parse.urlsplit(url).path
        what = f"{method} {path} answered {status}"
        if method == "OPTIONS":
            return
        verb = "get" if method == "HEAD" else method.lower()
        template, item = self.find(path, verb)
        operation = item and item.get(verb)
        if operation is None:
            # A body over the bound is refused before anybody looks where it goes.
            wanted = {404, 400, 413} if item is None else {405, 404, 413}
            if status not in wanted:
                raise Breach(f"{what}: there is no such operation in the contract")
            if status == 405 and not headers.get("Allow"):
                raise Breach(f"{what} without Allow")
            response = self.document["components"]["responses"]["error"]
        else:
            response = operation["responses"].get(str(status))
            if response is None:
                raise Breach(f"{what}: the contract has only {sorted(operation['responses'])}; body: {(text or '')[:300]}")
            self.seen.add((method, template, status))
        # A report that is stored is answered in as few bytes as can be.
        stored = template == "/iot-flow/tunnel/{binderId}" and status == 204
        if not headers.get("X-Correlation-Id") and not stored:
            raise Breach(f"{what} without X-Correlation-Id")
        for name in _HEADERS:
            if headers.get(name) is not None and not headers[name].isdigit():
                raise Breach(f"{what}: {name} is {headers[name]}")
        if status == 429 and not headers.get("Retry-After"):
            raise Breach(f"{what} without Retry-After")
        content = self.resolve(response).get("content")
        if text is None or method == "HEAD":
            return
        if not content:
            if text:
                raise Breach(f"{what} with a body, which the contract does not have: {text[:200]}")
            return
        kind = (headers.get("Content-Type") or "").split(";")[0].strip()
        if kind not in content:
            raise Breach(f"{what} as '{kind}', the contract has {sorted(content)}")
        if kind != "application/json":
            return
        try:
            value = json.loads(text)
        except ValueError as error:
            raise Breach(f"{what}: the body is no JSON: {error}: {text[:200]}") from None
        schema = content[kind].get("schema")
        if schema is None:
            raise Breach(f"{what}: the contract has no schema for it")
        self._validate((method, template or path, status), schema, value)


_known = {}


def check(host, method, url, status, headers, text):
    """As Contract.check, with the contract that `host` serves (asked once a test run: all servers are of one build)."""
    contract = _known.get("contract")
    if contract is None:
        contract = _known["contract"] = Contract.of(host)
    contract.check(method, url, status, headers, text)
