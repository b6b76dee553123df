#!/usr/bin/env python3
"""A service instrumented with the official OpenTelemetry Python SDK: each request asks a supplier, and fails when that fails.

 shop.py --otlp http://127.0.0.1:4317 --supplier http://127.0.0.1:9000
 Prints the port that it serves on; ends when its stdin does, after the last spans are sent.
"""
import argparse, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--otlp", required=True)
parser.add_argument("--supplier", required=True)
parser.add_argument("--port", type=int, default=0, help="to serve on; any free one unless given")
args = parser.parse_args()

provider = TracerProvider(resource=Resource.create({"service.name": "shop", "deployment.environment.name": "test"}))
exporter = OTLPSpanExporter(endpoint=args.otlp, insecure=True)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=250, max_queue_size=65536))
tracer = provider.get_tracer("shop")


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        attributes = {"http.request.method": "GET", "http.route": "/buy", "url.scheme": "http"}
        with tracer.start_as_current_span("GET /buy", kind=SpanKind.SERVER, attributes=attributes) as span:
            try:
                with urllib.request.urlopen(args.supplier, timeout=10) as answer:
                    answer.read()
                code = 200
            except OSError as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                code = 502
            span.set_attribute("http.response.status_code", code)
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


server = Server(("127.0.0.1", args.port), Shop)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
server.shutdown()
provider.shutdown()
