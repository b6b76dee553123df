import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Sends n traces of two spans, n log records and metrics with the official Java SDK: Emit URL grpc|http none|gzip N SERVICE. */
public class Emit {
  public static void main(String[] args) {
    String url = args[0], coding = args[2];
    boolean grpc = args[1].equals("grpc");
    int n = Integer.parseInt(args[3]);
    SpanExporter spans = grpc
        ? OtlpGrpcSpanExporter.builder().setEndpoint(url).setCompression(coding).build()
        : OtlpHttpSpanExporter.builder().setEndpoint(url + "/v1/traces").setCompression(coding).build();
    MetricExporter metrics = grpc
        ? OtlpGrpcMetricExporter.builder().setEndpoint(url).setCompression(coding).build()
        : OtlpHttpMetricExporter.builder().setEndpoint(url + "/v1/metrics").setCompression(coding).build();
    LogRecordExporter logs = grpc
        ? OtlpGrpcLogRecordExporter.builder().setEndpoint(url).setCompression(coding).build()
        : OtlpHttpLogRecordExporter.builder().setEndpoint(url + "/v1/logs").setCompression(coding).build();
    Resource resource = Resource.create(Attributes.of(
        AttributeKey.stringKey("service.name"), args[4], AttributeKey.stringKey("deployment.sha"), "9fceb02",
        AttributeKey.stringArrayKey("feature.flags"), List.of("new-checkout", "fast")));
    var tracers = SdkTracerProvider.builder().setResource(resource)
        .addSpanProcessor(BatchSpanProcessor.builder(spans).setMaxQueueSize(8 * n + 100).build()).build();
    var meters = SdkMeterProvider.builder().setResource(resource)
        .registerMetricReader(PeriodicMetricReader.create(metrics)).build();
    var loggers = SdkLoggerProvider.builder().setResource(resource)
        .addLogRecordProcessor(BatchLogRecordProcessor.builder(logs).setMaxQueueSize(8 * n + 100).build()).build();
    var tracer = tracers.get("emit", "1.0");
    var meter = meters.get("emit");
    var durations = meter.histogramBuilder("http.server.request.duration").setUnit("s").build();
    var requests = meter.counterBuilder("requests").build();
    for (int i = 0; i < n; i++) {
      int code = i % 10 == 0 ? 500 : 200;
      var span = tracer.spanBuilder("POST /buy").setSpanKind(SpanKind.SERVER)
          .setAttribute("http.response.status_code", code).setAttribute("http.route", "/buy").startSpan();
      var in = Context.current().with(span);
      tracer.spanBuilder("query").setParent(in).setSpanKind(SpanKind.CLIENT).addLink(span.getSpanContext()).startSpan().end();
      if (code == 500) {
        span.recordException(new IllegalStateException("boom"));
        span.setStatus(StatusCode.ERROR, "boom");
      }
      span.end();
      durations.record(0.02, Attributes.of(AttributeKey.longKey("http.response.status_code"), (long) code), in);
      requests.add(1, Attributes.of(AttributeKey.longKey("http.response.status_code"), (long) code), in);
      loggers.get("emit").logRecordBuilder().setContext(in).setSeverity(Severity.INFO).setBody("served")
          .setAttribute(AttributeKey.longKey("number"), (long) i).emit();
    }
    CompletableResultCode done = CompletableResultCode.ofAll(
        List.of(tracers.forceFlush(), meters.forceFlush(), loggers.forceFlush())).join(30, TimeUnit.SECONDS);
    CompletableResultCode.ofAll(List.of(tracers.shutdown(), meters.shutdown(), loggers.shutdown())).join(30, TimeUnit.SECONDS);
    System.out.println(n);
    System.exit(done.isSuccess() ? 0 : 1);
  }
}
