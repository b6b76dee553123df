// Command emit sends n traces of two spans, n log records and metrics of every kind with the official Go SDK.
//
//	emit -endpoint http://127.0.0.1:4317 -protocol grpc|http [-gzip] -n 100 -service checkout
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var (
	endpoint = flag.String("endpoint", "http://127.0.0.1:4317", "")
	protocol = flag.String("protocol", "grpc", "grpc or http")
	gzip     = flag.Bool("gzip", false, "")
	n        = flag.Int("n", 100, "")
	service  = flag.String("service", "checkout", "")
)

func exporters(ctx context.Context) (sdktrace.SpanExporter, sdkmetric.Exporter, sdklog.Exporter, error) {
	if *protocol == "grpc" {
		coding := "none"
		if *gzip {
			coding = "gzip"
		}
		spans, e1 := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(*endpoint), otlptracegrpc.WithCompressor(coding))
		metrics, e2 := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(*endpoint), otlpmetricgrpc.WithCompressor(coding))
		logs, e3 := otlploggrpc.New(ctx, otlploggrpc.WithEndpointURL(*endpoint), otlploggrpc.WithCompressor(coding))
		return spans, metrics, logs, errors.Join(e1, e2, e3)
	}
	tc, mc, lc := otlptracehttp.NoCompression, otlpmetrichttp.NoCompression, otlploghttp.NoCompression
	if *gzip {
		tc, mc, lc = otlptracehttp.GzipCompression, otlpmetrichttp.GzipCompression, otlploghttp.GzipCompression
	}
	spans, e1 := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(*endpoint+"/v1/traces"), otlptracehttp.WithCompression(tc))
	metrics, e2 := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(*endpoint+"/v1/metrics"), otlpmetrichttp.WithCompression(mc))
	logs, e3 := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(*endpoint+"/v1/logs"), otlploghttp.WithCompression(lc))
	return spans, metrics, logs, errors.Join(e1, e2, e3)
}

func emit(ctx context.Context) error {
	se, me, le, err := exporters(ctx)
	if err != nil {
		return err
	}
	res := resource.NewWithAttributes("https://opentelemetry.io/schemas/1.37.0",
		attribute.String("service.name", *service), attribute.String("deployment.sha", "9fceb02"),
		attribute.StringSlice("feature.flags", []string{"new-checkout", "fast"}))
	tp := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(se, sdktrace.WithMaxQueueSize(8**n+100)))
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(me)),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "sizes"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})))
	lp := sdklog.NewLoggerProvider(sdklog.WithResource(res),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(le, sdklog.WithMaxQueueSize(8**n+100))))

	tracer := tp.Tracer("emit", trace.WithInstrumentationVersion("1.0"))
	meter, logger := mp.Meter("emit"), lp.Logger("emit")
	durations, e1 := meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"))
	sizes, e2 := meter.Int64Histogram("sizes", metric.WithUnit("By"))
	requests, e3 := meter.Int64Counter("requests")
	load, e4 := meter.Float64Gauge("load")
	if err := errors.Join(e1, e2, e3, e4); err != nil {
		return err
	}
	for i := range *n {
		code := 200
		if i%10 == 0 {
			code = 500
		}
		now := time.Now()
		attributes := []attribute.KeyValue{attribute.Int("http.response.status_code", code), attribute.String("http.route", "/buy")}
		in, span := tracer.Start(ctx, "POST /buy", trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attributes...), trace.WithTimestamp(now.Add(-20*time.Millisecond)))
		_, child := tracer.Start(in, "query", trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(trace.LinkFromContext(in)))
		child.End()
		if code == 500 {
			span.RecordError(errors.New("boom"))
			span.SetStatus(codes.Error, "boom")
		}
		span.End()
		durations.Record(in, 0.02, metric.WithAttributes(attributes...))
		sizes.Record(in, int64(i*i))
		requests.Add(in, 1, metric.WithAttributes(attributes...))
		load.Record(in, float64(i))
		var record log.Record
		record.SetTimestamp(now)
		record.SetSeverity(log.SeverityInfo)
		record.SetBody(attribute.MapValue(attribute.String("said", "served"),
			attribute.KeyValue{Key: "raw", Value: attribute.ByteSliceValue([]byte{0, 1, 255})}))
		record.AddAttributes(attribute.Int("number", i))
		logger.Emit(in, record)
	}
	return errors.Join(tp.ForceFlush(ctx), mp.ForceFlush(ctx), lp.ForceFlush(ctx),
		tp.Shutdown(ctx), mp.Shutdown(ctx), lp.Shutdown(ctx))
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := emit(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(*n)
}
