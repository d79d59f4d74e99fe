"""The actions granted to each function, by resource."""

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
RECEIVE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
READ_STREAM = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
PUSH = {"execute-api:ManageConnections"}

ORDERS, CONNECTIONS = "StorageOrders.Arn", "StorageConnections.Arn"
KEYS, TICKETS = "StorageAccess.Arn key#*", "StorageAccess.Arn ticket#*"
OPEN_BY_OWNER = f"{ORDERS}/index/openByOwner"
BY_OWNER, OPEN_ORDERS = f"{ORDERS}/index/byOwner", f"{ORDERS}/index/openOrders"
WAKE_ABOVE, WAKE_BELOW = f"{ORDERS}/index/wakeAbove", f"{ORDERS}/index/wakeBelow"
WATCHED_PAIRS = f"{ORDERS} watched-pairs"
QUEUE, DEAD_LETTERS = "QueuesOrders.Arn", "QueuesDeadLetters.Arn"
WEBHOOKS = "QueuesWebhooks.Arn"

GRANTED = {
    "api": {
        ORDERS: {
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:UpdateItem",
        },
        BY_OWNER: {"dynamodb:Query"},
        OPEN_ORDERS: {"dynamodb:Query"},
        OPEN_BY_OWNER: {"dynamodb:Query"},
        TICKETS: {"dynamodb:PutItem"},
        QUEUE: {"sqs:SendMessage"},
        CONNECTIONS: {
            "dynamodb:PutItem",
            "dynamodb:GetItem",
            "dynamodb:DeleteItem",
            "dynamodb:Query",
        },
        WEBHOOKS: {"sqs:SendMessage"},
    },
    "authorizer": {KEYS: {"dynamodb:GetItem"}, TICKETS: {"dynamodb:DeleteItem"}},
    "worker": {
        ORDERS: {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        QUEUE: {"sqs:SendMessage"} | RECEIVE,
    },
    "publisher": {
        "StorageOrders.StreamArn": READ_STREAM,
        ORDERS: {"dynamodb:UpdateItem"},
        CONNECTIONS: {"dynamodb:Query", "dynamodb:DeleteItem"},
        WEBHOOKS: {"sqs:SendMessage"},
        "push": PUSH,
        "close": PUSH,
    },
    "notifier": {
        CONNECTIONS: {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        WEBHOOKS: {"sqs:ChangeMessageVisibility"} | RECEIVE,
    },
    "websocket": {
        ORDERS: {"dynamodb:UpdateItem"},
        CONNECTIONS: {
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:Query",
        },
        "push": PUSH,
    },
    "sweeper": {
        OPEN_ORDERS: {"dynamodb:Query"},
        ORDERS: {"dynamodb:UpdateItem"},
        QUEUE: {"sqs:SendMessage", "sqs:GetQueueAttributes"},
    },
    "watcher": {
        WATCHED_PAIRS: {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        WAKE_ABOVE: {"dynamodb:Query"},
        WAKE_BELOW: {"dynamodb:Query"},
        QUEUE: {"sqs:SendMessage", "sqs:GetQueueAttributes"},
    },
    "dead_letters": {
        ORDERS: {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        QUEUE: {"sqs:SendMessage"},
        DEAD_LETTERS: RECEIVE,
    },
}
