// LaunchDarkly's Node SDK, on the server at argv[2]: prints what it serves, until the flag has gone off.
const ld = require('@launchdarkly/node-server-sdk');

const [url, key] = process.argv.slice(2);

(async () => {
  const logger = ld.basicLogger({ level: 'error' });
  const options = { baseUri: url, streamUri: url, eventsUri: url, diagnosticOptOut: true, logger };
  const client = ld.init('sdk-key', options);
  await client.waitForInitialization({ timeout: 30 });
  const served = async () => {
    const detail = await client.variationDetail(key, { kind: 'user', key: 'somebody' }, null);
    return `${detail.value} ${detail.reason.kind}`;
  };
  console.log('served', await served());
  const deadline = Date.now() + 60000;
  while ((await served()) !== 'false OFF' && Date.now() < deadline) {
    await new Promise((wake) => setTimeout(wake, 20));
  }
  console.log('served', await served());
  client.close();
})();
