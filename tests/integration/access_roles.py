# SPDX-License-Identifier: Apache-2.0
"""Who may do what: the least role of every path and method (spec api.md 3, 5 to 13). test_access_matrix.py compares it with the
served contract and tries each row, so a new route needs its line here.

OPEN needs no token; ADMINISTRATOR is one of the installation; USER any role, but a person's token, not an API key's."""
OPEN, READER, WRITER, CONTROLLER, OWNER, ADMINISTRATOR, USER = "open", "Reader", "Writer", "Controller", "Owner", "admin", "user"

_FLOW = {
    OPEN: """
        POST /oauth/token
        POST /oauth/tokenSwagger
        GET /oauth/tokeninfo
        POST /oauth/revoke
        GET /ontology/units
        GET /ontology/units/{unitId}
        GET /ontology/sensors
        GET /ontology/sensors/{sensorId}
        GET /ontology/fields
        GET /ontology/fields/{sensorId}
        GET /v3/api-docs
        GET /swagger-ui.html
        GET /swagger-ui
        GET /swagger-ui/
        GET /swagger-ui/{file}""",
    READER: """
        GET /connectors
        GET /connectors/{connectorId}
        GET /connections
        GET /connections/metrics
        GET /connections/{id}
        GET /connections/{id}/metrics
        GET /connections/{id}/statistics
        GET /connections/{id}/queue
        GET /connections/{id}/certificates
        GET /connections/{id}/alarms
        GET /connections/{id}/deadLetters
        GET /connections/{id}/deadLetters/{letterId}
        GET /connections/{id}/downlinks/queue
        GET /connections/{id}/replay
        GET /flows
        GET /flows/{id}
        GET /drivers
        GET /drivers/providers
        GET /drivers/manufacturers
        GET /drivers/{driverId}
        GET /drivers/{driverId}/examples
        GET /drivers/{driverId}/log
        GET /drivers/{driverId}/statistics
        POST /drivers/{driverId}/try
        POST /drivers/validate/code
        POST /decode
        POST /decode/batch
        POST /decode/code
        POST /encode
        POST /encode/code
        POST /codec/decode
        POST /codec/decode/batch
        POST /codec/decode/code
        POST /codec/encode
        POST /codec/encode/code
        POST /processor/execute
        GET /statistics
        GET /events
        GET /events/stream
        GET /tap
        GET /messages
        GET /messages/{id}
        GET /devices/{devEUI}/explain""",
    WRITER: """
        POST /connections
        POST /connections/test
        PUT /connections/{id}
        PATCH /connections/{id}
        POST /connections/{id}/restart
        POST /connections/{id}/start
        POST /connections/{id}/stop
        POST /connections/{id}/pause
        POST /connections/{id}/resume
        POST /connections/{id}/deadLetters/resend
        POST /connections/{id}/deadLetters/{letterId}/resend
        POST /connections/{id}/replay
        DELETE /connections/{id}/replay
        POST /flows
        PUT /flows/{id}
        PATCH /flows/{id}
        POST /drivers
        PATCH /drivers/{driverId}
        DELETE /drivers/{driverId}/log""",
    CONTROLLER: """
        POST /connections/{id}/downlinks""",
    OWNER: """
        DELETE /connections/{id}
        DELETE /connections/{id}/queue
        DELETE /connections/{id}/deadLetters
        DELETE /connections/{id}/deadLetters/{letterId}
        DELETE /connections/{id}/downlinks/queue
        POST /connections/{id}/downlinkUrl/rotate
        DELETE /flows/{id}
        DELETE /drivers/{driverId}
        POST /drivers/import
        GET /binders
        POST /binders
        GET /binders/{id}
        PUT /binders/{id}
        PATCH /binders/{id}
        DELETE /binders/{id}""",
}
_ADMIN = {
    READER: """
        GET /accounts
        GET /accounts/{id}
        GET /accounts/{id}/members
        GET /accounts/{id}/members/{memberId}
        GET /accounts/{id}/roles
        GET /users/me""",
    OWNER: """
        PATCH /accounts/{id}
        DELETE /accounts/{id}
        POST /accounts/{id}/members
        PATCH /accounts/{id}/members/{memberId}
        DELETE /accounts/{id}/members/{memberId}
        GET /accounts/{id}/apiKeys
        POST /accounts/{id}/apiKeys
        GET /accounts/{id}/apiKeys/{keyId}
        DELETE /accounts/{id}/apiKeys/{keyId}
        POST /accounts/{id}/apiKeys/{keyId}/rotate
        GET /accounts/{id}/binders
        POST /accounts/{id}/binders
        GET /accounts/{id}/binders/{binderId}
        PUT /accounts/{id}/binders/{binderId}
        PATCH /accounts/{id}/binders/{binderId}
        DELETE /accounts/{id}/binders/{binderId}""",
    USER: """
        POST /accounts
        POST /users/me/password""",
    ADMINISTRATOR: """
        POST /users/{login}/password
        POST /impersonationTokens""",
}
_OTHER = {OPEN: """
        POST /iot-flow/tunnel/{binderId}
        POST /iot-flow/downlinkMessages/{uuid}
        GET /healthz
        GET /readyz
        GET /metrics"""}


def _rows(root, table):
    for role, text in table.items():
        for line in text.split("\n"):
            if line.strip():
                method, path = line.split()
                yield (method, root + path), role


LEAST = {row: role for root, table in (("/iot-flow/v1", _FLOW), ("/iot-admin/v1", _ADMIN), ("", _OTHER))
         for row, role in _rows(root, table)}

ROLES = [READER, WRITER, CONTROLLER, OWNER]
