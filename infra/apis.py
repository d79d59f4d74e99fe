"""The two doors: the HTTP API and the WebSocket API, each in front of one function."""

from aws_cdk import Aws, Tags
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration, WebSocketLambdaIntegration
from constructs import Construct

LOCAL_HTTP_ID = "c0ffee00"
LOCAL_WEB_SOCKET_ID = "c0ffee01"


class Apis(Construct):
    """Both APIs with one throttled stage each; on the emulator their ids never change."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        api: lambda_.Function,
        websocket: lambda_.Function,
        stage: str,
        throttle: apigateway.ThrottleSettings,
        local_endpoint: str,
    ) -> None:
        super().__init__(scope, construct_id)

        http = apigateway.HttpApi(self, "Http", create_default_stage=False)
        integration = HttpLambdaIntegration("Api", api)
        for path in ("/", "/{proxy+}"):
            http.add_routes(path=path, methods=[apigateway.HttpMethod.ANY], integration=integration)
        apigateway.HttpStage(self, "HttpStage", http_api=http, auto_deploy=True, throttle=throttle)

        web_socket = apigateway.WebSocketApi(
            self, "WebSocket", route_selection_expression="$request.body.action"
        )
        for route in ("$connect", "$disconnect", "$default"):
            web_socket.add_route(
                route,
                integration=WebSocketLambdaIntegration("Integration", websocket),
            )
        web_socket_stage = apigateway.WebSocketStage(
            self,
            "WebSocketStage",
            web_socket_api=web_socket,
            stage_name=stage,
            auto_deploy=True,
            throttle=throttle,
        )

        self.push_arn = (
            f"arn:{Aws.PARTITION}:execute-api:{Aws.REGION}:{Aws.ACCOUNT_ID}"
            f":{web_socket.api_id}/{stage}/POST/@connections/*"
        )
        if local_endpoint:
            _pin_id(http, LOCAL_HTTP_ID)
            _pin_id(web_socket, LOCAL_WEB_SOCKET_ID)
            base = f"{local_endpoint}/_aws/execute-api"
            self.http_url = f"{base}/{LOCAL_HTTP_ID}"
            self.push_url = f"{base}/{LOCAL_WEB_SOCKET_ID}/{stage}"
            self.web_socket_url = self.push_url.replace("http", "ws", 1)
        else:
            self.http_url = http.api_endpoint
            self.push_url = web_socket_stage.callback_url
            self.web_socket_url = web_socket_stage.url


def _pin_id(api: Construct, api_id: str) -> None:
    Tags.of(api).add("ms-custom-id", api_id, include_resource_types=["AWS::ApiGatewayV2::Api"])
