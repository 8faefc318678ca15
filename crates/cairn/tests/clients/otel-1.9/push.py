# A program under an OpenTelemetry profiler for Python: burns CPU in one function for SECONDS, in
# spans of one trace, whose id it prints. Where profiles go is said by the environment.
# usage: push.py SECONDS
import sys
import time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())

from opentelemetry.sdk.extension.profiling import Profiler


def cairn_otel_hot(until):
    count = 0
    while time.monotonic() < until:
        count += sum(range(1000))
    return count


profiler = Profiler()
profiler.start()
with trace.get_tracer("cairn").start_as_current_span("GET /checkout") as span:
    print(format(span.get_span_context().trace_id, "032x"))
    cairn_otel_hot(time.monotonic() + float(sys.argv[1]))
profiler.stop()
