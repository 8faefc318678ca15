// Parca's own client: pushes a file over gRPC, then reads it back over gRPC-web, text and binary,
// and draws its conclusions with an Arrow reader that is not ours. Prints one JSON line per format.
// usage: node parca.js HOST:PORT FILE FROM_MS UNTIL_MS
const fs = require("fs");
const { ChannelCredentials } = require("@grpc/grpc-js");
const { GrpcTransport } = require("@protobuf-ts/grpc-transport");
const { GrpcWebFetchTransport } = require("@protobuf-ts/grpcweb-transport");
const { CompressionType, compressionRegistry, tableFromIPC } = require("apache-arrow");
const lz4 = require("lz4js");
const P = require("@parca/client");

compressionRegistry.set(CompressionType.LZ4_FRAME, { encode: lz4.compress, decode: lz4.decompress });

const [address, file, from, until] = process.argv.slice(2);
const time = (ms) => P.Timestamp.fromDate(new Date(Number(ms)));
const range = { start: time(from), end: time(until) };
const query = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta{job="parca-client"}';

async function push() {
  const transport = new GrpcTransport({
    host: address,
    channelCredentials: ChannelCredentials.createInsecure(),
  });
  const labels = { labels: [{ name: "__name__", value: "process_cpu" }, { name: "job", value: "parca-client" }] };
  const samples = [{ rawProfile: fs.readFileSync(file), executableInfo: [] }];
  const client = new P.ProfileStoreServiceClient(transport);
  await client.writeRaw({ tenant: "", normalized: false, series: [{ labels, samples }] });
  transport.close();
}

async function read(format) {
  const transport = new GrpcWebFetchTransport({ baseUrl: `http://${address}/api`, format });
  const client = new P.QueryServiceClient(transport);
  const types = (await client.profileTypes(range)).response.types;
  const labels = (await client.labels({ match: [], ...range })).response.labelNames;
  const values = (await client.values({ labelName: "job", match: [], ...range })).response.labelValues;
  const points = await client.queryRange(
    P.QueryRangeRequest.create({ query, ...range, limit: 0, step: { seconds: 15n, nanos: 0 }, sumBy: [] }),
  );
  const flame = await client.query(
    P.QueryRequest.create({
      mode: P.QueryRequest_Mode.MERGE,
      options: { oneofKind: "merge", merge: { ...range, query } },
      reportType: P.QueryRequest_ReportType.FLAMEGRAPH_ARROW,
    }),
  );
  const arrow = flame.response.report.flamegraphArrow;
  const table = tableFromIPC(arrow.record);
  const names = table.getChild("function_name");
  const cumulative = table.getChild("cumulative");
  return {
    format,
    types: types.map((type) => `${type.name}:${type.sampleType}`).sort(),
    labels: labels.sort(),
    values: values.sort(),
    series: points.response.series.reduce((sum, s) => sum + s.samples.reduce((a, b) => a + Number(b.value), 0), 0),
    total: Number(flame.response.total),
    root: Number(cumulative.get(0)),
    rows: table.numRows,
    height: arrow.height,
    unit: arrow.unit,
    functions: new Set(Array.from(names, (name) => (name ? Buffer.from(name).toString() : ""))).size,
  };
}

(async () => {
  await push();
  for (const format of ["text", "binary"]) console.log(JSON.stringify(await read(format)));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
