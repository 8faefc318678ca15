# A program under the Pyroscope SDK for Python: burns CPU in one function for SECONDS.
# usage: push.py URL SECONDS
import sys
import time

import pyroscope


def cairn_python_hot(until):
    count = 0
    while time.monotonic() < until:
        count += sum(range(1000))
    return count


url, seconds = sys.argv[1], float(sys.argv[2])
pyroscope.configure(
    application_name="python-app",
    server_address=url,
    sample_rate=100,
    upload_interval=2,
    tags={"region": "eu-west-1"},
    report_thread_name=True,
)
with pyroscope.tag_wrapper({"endpoint": "/checkout"}):
    cairn_python_hot(time.monotonic() + seconds)
pyroscope.shutdown()
