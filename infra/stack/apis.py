"""The HTTP API and the WebSocket API, with one authorizer for both."""

import json

from aws_cdk import Aws, Duration, Fn, RemovalPolicy, Tags
from aws_cdk import aws_apigateway as account
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigateway import AccessLogField as Field
from aws_cdk.aws_apigatewayv2_authorizers import (
    HttpLambdaAuthorizer,
    HttpLambdaResponseType,
    WebSocketLambdaAuthorizer,
)
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration, WebSocketLambdaIntegration
from constructs import Construct

from functions.contract import PUBLIC_FOLDER, PUBLIC_PATHS
from infra.settings import Settings
from infra.stack.logs import log_group

LOCAL_HTTP_ID = "c0ffee00"
LOCAL_WEB_SOCKET_ID = "c0ffee01"
# Access logs have no path, query or header, because these may contain a ticket or a key.
LOGGED = {
    "requestId": Field.context_request_id(),
    "ip": Field.context_identity_source_ip(),
    "requestTime": Field.context_request_time(),
    "routeKey": Field.context_route_key(),
    "status": Field.context_status(),
}
HTTP_LOGGED = LOGGED | {
    "httpMethod": Field.context_http_method(),
    "responseLength": Field.context_response_length(),
    "responseLatency": Field.context_response_latency(),
    "integrationErrorMessage": Field.context_integration_error_message(),
}
WEB_SOCKET_LOGGED = LOGGED | {
    "eventType": Field.context_event_type(),
    "connectionId": Field.context_connection_id(),
}


class Apis(Construct):
    """The two APIs, each with one stage that throttles and logs requests.

    Clients use `http_url` and `web_socket_url`; the functions push to `push_url`. On the emulator
    the APIs have fixed ids, so that the template can contain the URLs.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        api: lambda_.IFunction,
        websocket: lambda_.IFunction,
        authorizer: lambda_.IFunction,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        stage = settings.stage

        http = self._http(api, authorizer)
        http_stage = apigateway.HttpStage(
            self, "HttpStage", http_api=http, auto_deploy=True, throttle=self._throttle()
        )
        web_socket = self._web_socket(websocket, authorizer)
        web_socket_stage = apigateway.WebSocketStage(
            self,
            "WebSocketStage",
            web_socket_api=web_socket,
            stage_name=stage,
            auto_deploy=True,
            throttle=self._throttle(),
        )
        # A resource policy of at most 5,120 characters, which all log groups share, allows HTTP
        # APIs to write logs. CloudWatch Logs keeps it short only for groups with this prefix. The
        # stack's id distinguishes the groups of successive stacks with the same name.
        stack = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        http_logs = f"/aws/vendedlogs/{settings.stack_name}/http/{stack}"
        self._log(http_stage, "HttpAccess", HTTP_LOGGED, group_name=http_logs)
        self._log(web_socket_stage, "WebSocketAccess", WEB_SOCKET_LOGGED)
        self.http_stage, self.web_socket_stage = http_stage, web_socket_stage
        if settings.api_gateway_log_role and not settings.local:
            web_socket_stage.node.add_dependency(self._log_role())

        connections = (
            f"arn:{Aws.PARTITION}:execute-api:{Aws.REGION}:{Aws.ACCOUNT_ID}"
            f":{web_socket.api_id}/{stage}/%s/@connections/*"
        )
        self.push_arn, self.close_arn = connections % "POST", connections % "DELETE"
        if settings.local:
            _pin_id(http, LOCAL_HTTP_ID)
            _pin_id(web_socket, LOCAL_WEB_SOCKET_ID)
            base = f"{settings.local_endpoint}/_aws/execute-api"
            self.http_url = f"{base}/{LOCAL_HTTP_ID}"
            self.push_url = f"{base}/{LOCAL_WEB_SOCKET_ID}/{stage}"
            self.web_socket_url = self.push_url.replace("http", "ws", 1)
        else:
            self.http_url = http.api_endpoint
            self.push_url = web_socket_stage.callback_url
            self.web_socket_url = web_socket_stage.url

    def _http(self, api: lambda_.IFunction, authorizer: lambda_.IFunction) -> apigateway.HttpApi:
        origin = self._settings.cors_origin
        cors = apigateway.CorsPreflightOptions(
            allow_origins=[origin],
            allow_methods=[
                apigateway.CorsHttpMethod.GET,
                apigateway.CorsHttpMethod.POST,
                apigateway.CorsHttpMethod.PATCH,
                apigateway.CorsHttpMethod.DELETE,
            ],
            allow_headers=["authorization", "content-type", "idempotency-key"],
            expose_headers=["location", "idempotent-replayed", "retry-after"],
            max_age=Duration.hours(1),
        )
        http = apigateway.HttpApi(
            self, "Http", create_default_stage=False, cors_preflight=cors if origin else None
        )
        integration = HttpLambdaIntegration("Api", api)
        for path in (*PUBLIC_PATHS, f"{PUBLIC_FOLDER}{{name}}"):
            http.add_routes(path=path, methods=[apigateway.HttpMethod.ANY], integration=integration)
        http.add_routes(
            path="/{proxy+}",
            methods=[apigateway.HttpMethod.ANY],
            integration=integration,
            authorizer=HttpLambdaAuthorizer(
                "Access",
                authorizer,
                response_types=[HttpLambdaResponseType.SIMPLE],
                identity_source=["$request.header.Authorization"],
                results_cache_ttl=Duration.seconds(self._settings.key_cache_seconds),
            ),
        )
        if origin:  # a preflight request has no key
            http.add_routes(
                path="/{proxy+}", methods=[apigateway.HttpMethod.OPTIONS], integration=integration
            )
        return http

    def _web_socket(
        self, websocket: lambda_.IFunction, authorizer: lambda_.IFunction
    ) -> apigateway.WebSocketApi:
        web_socket = apigateway.WebSocketApi(
            self, "WebSocket", route_selection_expression="$request.body.action"
        )
        for route in ("$connect", "$disconnect", "$default"):
            # The credentials are in a header or in a query parameter, but API Gateway refuses a
            # request that lacks an identity source. So the source is a header that every handshake
            # has.
            access = WebSocketLambdaAuthorizer(
                "Access", authorizer, identity_source=["route.request.header.Host"]
            )
            web_socket.add_route(
                route,
                integration=WebSocketLambdaIntegration("Integration", websocket),
                authorizer=access if route == "$connect" else None,
            )
        return web_socket

    def _throttle(self) -> apigateway.ThrottleSettings:
        return apigateway.ThrottleSettings(
            rate_limit=self._settings.throttle_rate, burst_limit=self._settings.throttle_burst
        )

    def _log(
        self,
        stage: Construct,
        name: str,
        fields: dict[str, str],
        *,
        group_name: str | None = None,
    ) -> None:
        group = log_group(self, f"{name}Logs", settings=self._settings, name=group_name)
        cfn_stage = stage.node.default_child
        if not isinstance(cfn_stage, apigateway.CfnStage):
            raise TypeError(f"{cfn_stage} is no stage")
        cfn_stage.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            # API Gateway needs the ARN without the ":*" that Fn::GetAtt appends.
            destination_arn=Fn.select(0, Fn.split(":*", group.log_group_arn)),
            format=json.dumps(fields),
        )

    def _log_role(self) -> account.CfnAccount:
        """Set the role with which API Gateway writes access logs of WebSocket APIs.

        The setting belongs to the account and region, so other APIs may use the role too. The role
        and the setting therefore outlive the stack, unless the deployment that creates them fails.
        """
        role = iam.Role(
            self,
            "LogRole",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(
                    "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
        )
        role.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        setting = account.CfnAccount(self, "LogAccount", cloud_watch_role_arn=role.role_arn)
        setting.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        return setting


def _pin_id(api: Construct, api_id: str) -> None:
    Tags.of(api).add("ms-custom-id", api_id, include_resource_types=["AWS::ApiGatewayV2::Api"])
