#!/usr/bin/env node
// n log records with the official JavaScript SDK: emit_logs.mjs URL grpc|http|json none|gzip N SERVICE (json: OTLP/HTTP JSON).
import { SeverityNumber } from '@opentelemetry/api-logs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';

const [endpoint, protocol, compression, n, service] = process.argv.slice(2);
const kind = { grpc: 'grpc', http: 'proto', json: 'http' }[protocol];
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${kind}`);
const exporter = new OTLPLogExporter({ url: protocol === 'grpc' ? endpoint : `${endpoint}/v1/logs`, compression });
let failed = null;
const send = exporter.export.bind(exporter);
exporter.export = (records, done) =>
  send(records, result => {
    if (result.code !== 0) failed = String(result.error);
    done(result);
  });
const provider = new LoggerProvider({
  resource: resourceFromAttributes({ 'service.name': service, 'feature.flags': ['new-checkout', 'fast'] }),
  processors: [new BatchLogRecordProcessor({ exporter, maxQueueSize: 8 * Number(n) + 100 })],
});
const logger = provider.getLogger('emit_logs', '1.0');
for (let i = 0; i < Number(n); i++) {
  logger.emit({
    severityNumber: SeverityNumber.INFO,
    severityText: 'INFO',
    body: { said: 'served', raw: new Uint8Array([0, 1, 255]), list: [1, 2.5, true, null] },
    attributes: { number: i, ratio: i / 7, ok: i % 2 === 0 },
  });
}
await provider.forceFlush();
await provider.shutdown();
if (failed) console.error(failed);
process.exit(failed ? 1 : 0);
