"""The `$context` variables that API Gateway documents for access logs, by the kind of API.

API Gateway refuses a stage whose access log names any other variable.
"""

from __future__ import annotations

PAGES = "https://docs.aws.amazon.com/apigateway/latest/developerguide/"
SOURCES = {
    "HTTP": PAGES + "http-api-logging-variables.html",
    "WEBSOCKET": PAGES + "websocket-api-logging.html",
}

BOTH = """
apiId authorizer.principalId domainName error.message error.messageString error.responseType
extendedRequestId identity.accountId identity.caller identity.cognitoAuthenticationProvider
identity.sourceIp identity.user identity.userAgent identity.userArn integrationLatency
requestId requestTime requestTimeEpoch routeKey stage status
"""
ONLY_HTTP = """
accountId authorizer.error awsEndpointRequestId awsEndpointRequestId2 dataProcessed domainPrefix
httpMethod identity.clientCert.clientCertPem identity.clientCert.issuerDN
identity.clientCert.serialNumber identity.clientCert.subjectDN
identity.clientCert.validity.notAfter identity.clientCert.validity.notBefore
identity.cognitoAuthenticationType identity.cognitoIdentityId identity.cognitoIdentityPoolId
identity.principalOrgId integration.error integration.integrationStatus integration.latency
integration.requestId integration.status integrationErrorMessage integrationStatus path protocol
responseLatency responseLength
"""
ONLY_WEB_SOCKET = """
connectedAt connectionId error.validationErrorString eventType identity.apiKey identity.apiKeyId
messageId
"""

VARIABLES = {
    "HTTP": {*BOTH.split(), *ONLY_HTTP.split()},
    "WEBSOCKET": {*BOTH.split(), *ONLY_WEB_SOCKET.split()},
}
