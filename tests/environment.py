"""The environment variables of the functions that all tests share."""

from __future__ import annotations

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "https://ws.example.com/live",
}
SETTINGS = {
    "ORDERS_TABLE": "orders",
    "CONNECTIONS_TABLE": "connections",
    "ACCESS_TABLE": "access",
    "QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
    "WEB_SOCKET_URL": "wss://ws.example.com/live",
    "SIMULATE_ALLOWED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "OrderExecutionEngine",
}
