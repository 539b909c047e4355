# SPDX-License-Identifier: Apache-2.0
"""AWS Signature Version 4 as AWS's side sees it: canonical request, signature, and the check of a request that has come,
with the errors that AWS answers. Written from "Signature Version 4 for API requests" (docs.aws.amazon.com/IAM) alone, so
that it shares no mistake with the connector. Held against AWS's own vectors in tests/integration/test_aws_peer.py."""
import calendar
import hashlib
import hmac
import time
import urllib.parse

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = hashlib.sha256(b"").hexdigest()
SKEW = 300  # seconds that AWS allows


class Refused(Exception):
    """What AWS answers: `kind` goes into x-amzn-ErrorType."""

    def __init__(self, kind, message, status=403):
        super().__init__(message)
        self.kind, self.status = kind, status


def encode(text, safe=""):
    return urllib.parse.quote(text, safe="-_.~" + safe)


def canonical_path(path, normalise=True, twice=True):
    """`path` as it stands in the request line, without the query. Every service but S3 encodes it a second time."""
    if normalise:
        parts = []
        for part in path.split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        ends_open = path.endswith(("/", "/.", "/..")) and parts
        path = "/" + "/".join(parts) + ("/" if ends_open else "")
    return encode(path, "/") if twice else path


def canonical_query(query, without=()):
    pairs = []
    for piece in query.split("&") if query else []:
        name, _, value = piece.partition("=")
        pairs.append((encode(urllib.parse.unquote(name)), encode(urllib.parse.unquote(value))))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs) if name not in without)


def canonical_headers(headers, signed):
    """`headers`: pairs as they came, repeats in their order."""
    lines = []
    for name in signed:
        values = [" ".join(value.split()) for key, value in headers if key.lower() == name]
        if not values:
            raise Refused("InvalidSignatureException", f"The signed header {name} is not in the request.")
        lines.append(f"{name}:{','.join(values)}\n")
    return "".join(lines)


def canonical_request(method, path, query, headers, signed, payload_hash, normalise=True, without=()):
    return "\n".join([method, canonical_path(path, normalise), canonical_query(query, without), canonical_headers(headers, signed),
                      ";".join(signed), payload_hash])


def string_to_sign(stamp, scope, canonical):
    return "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])


def sign(secret, scope, text):
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def sign_headers(method, host, path, query, body, key_id, secret, region, service, now=None, extra=()):
    """Headers of a request signed by the Authorization header: for tests that play the client."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = [("host", host), ("x-amz-date", stamp), *extra]
    signed = sorted(name.lower() for name, _ in headers)
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    canonical = canonical_request(method, path, query, headers, signed, hashlib.sha256(body).hexdigest())
    headers.append(("Authorization", f"{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={';'.join(signed)}, "
                                     f"Signature={sign(secret, scope, string_to_sign(stamp, scope, canonical))}"))
    return headers


def presign(host, path, key_id, secret, region, service, now=None):
    """path?query of a presigned GET."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    query = (f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={encode(key_id + '/' + scope)}&X-Amz-Date={stamp}"
             "&X-Amz-SignedHeaders=host")
    canonical = canonical_request("GET", path, query, [("host", host)], ["host"], EMPTY)
    return f"{path}?{query}&X-Amz-Signature={sign(secret, scope, string_to_sign(stamp, scope, canonical))}"


def _authorization(headers):
    """The parts of the Authorization header."""
    values = [value for name, value in headers if name.lower() == "authorization"]
    if not values or not values[0].startswith(ALGORITHM):
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    parts = dict(part.strip().partition("=")[::2] for part in values[0][len(ALGORITHM):].split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parts.get(name)]
    if missing:
        raise Refused("IncompleteSignatureException", " ".join(f"Authorization header requires '{name}' parameter."
                                                               for name in missing))
    return parts


def verify(method, path, query, headers, body, secrets, region, service, now=None):
    """The access key id that has signed this request. `secrets`: access key id -> secret. Raises Refused."""
    now = time.time() if now is None else now
    given = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    presigned = "X-Amz-Signature" in given
    if presigned:
        if given.get("X-Amz-Algorithm") != ALGORITHM:
            raise Refused("IncompleteSignatureException", "AWS query-string parameters must include 'X-Amz-Algorithm'.")
        parts = {"Credential": given.get("X-Amz-Credential", ""), "SignedHeaders": given.get("X-Amz-SignedHeaders", ""),
                 "Signature": given["X-Amz-Signature"]}
        stamp, payload = given.get("X-Amz-Date", ""), EMPTY
    else:
        parts = _authorization(headers)
        lower = {name.lower(): value for name, value in headers}
        stamp = lower.get("x-amz-date", "")
        payload = hashlib.sha256(body).hexdigest()
        told = lower.get("x-amz-content-sha256")
        if told is not None and told != payload:
            raise Refused("InvalidSignatureException", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    credential = parts["Credential"].split("/")
    if len(credential) != 5 or credential[4] != "aws4_request":
        raise Refused("IncompleteSignatureException", f"Credential must have exactly 5 slash-delimited elements, e.g. "
                      f"keyid/date/region/service/term, got '{parts['Credential']}'.")
    key_id, date, scope_region, scope_service, _ = credential
    scope = "/".join(credential[1:])
    if scope_region != region:
        raise Refused("InvalidSignatureException", "Credential should be scoped to a valid region. ")
    if scope_service != service:
        raise Refused("InvalidSignatureException", f"Credential should be scoped to correct service: '{service}'. ")
    if key_id not in secrets:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    try:
        at = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refused("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'. Got "
                      f"'{stamp}'. See http://en.wikipedia.org/wiki/ISO_8601") from None
    if stamp[:8] != date:
        raise Refused("InvalidSignatureException", f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
                      f"of date from HTTP: '{date}' != '{stamp[:8]}', from '{stamp}'.")
    lasts = int(given.get("X-Amz-Expires", SKEW))
    text = lambda seconds: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
    if at + lasts < now:
        raise Refused("InvalidSignatureException", f"Signature expired: {stamp} is now earlier than {text(now - lasts)} "
                      f"({text(now)} - {lasts // 60} min.)")
    if at > now + SKEW:
        raise Refused("InvalidSignatureException", f"Signature not yet current: {stamp} is still later than {text(now + SKEW)} "
                      f"({text(now)} + 5 min.)")
    signed = parts["SignedHeaders"].split(";")
    if "host" not in signed or signed != sorted(signed):
        raise Refused("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    unsigned = [name for name, _ in headers if name.lower().startswith("x-amz-") and name.lower() not in signed]
    if unsigned and not presigned:
        raise Refused("InvalidSignatureException", f"There were headers present in the request which were not signed: {unsigned}.")
    canonical = canonical_request(method, path, query, headers, signed, payload, without=("X-Amz-Signature",))
    if not hmac.compare_digest(sign(secrets[key_id], scope, string_to_sign(stamp, scope, canonical)), parts["Signature"]):
        raise Refused("InvalidSignatureException", "The request signature we calculated does not match the signature you "
                      "provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for "
                      "details.")
    return key_id
