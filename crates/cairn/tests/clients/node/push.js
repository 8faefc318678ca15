// A program under the Pyroscope SDK for Node: burns CPU in one function for SECONDS.
// usage: node push.js URL SECONDS
const Pyroscope = require("@pyroscope/nodejs");

Pyroscope.init({
  serverAddress: process.argv[2],
  appName: "node-app",
  tags: { region: "eu-west-1" },
  flushIntervalMs: 2000,
  wall: { collectCpuTime: true, samplingDurationMs: 2000 },
});
Pyroscope.start();

function cairnNodeHot(until) {
  let sum = 0;
  while (Date.now() < until) for (let i = 0; i < 1000; i++) sum += i;
  return sum;
}

const end = Date.now() + 1000 * Number(process.argv[3]);
(async () => {
  while (Date.now() < end) {
    Pyroscope.wrapWithLabels({ endpoint: "/checkout" }, () => cairnNodeHot(Date.now() + 50));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Pyroscope.stop();
  process.exit(0);
})();
