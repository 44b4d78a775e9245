"""Asks pydantic what the old service made of a value, and prints the verdicts as JSON.

    python3 -m venv venv && venv/bin/pip install pydantic==2.14.3
    venv/bin/python pydantic_verdicts.py > pydantic_verdicts.json

Every case puts one JSON text in place of one field of a valid event (an empty text leaves the field
out), or is a whole body. `json` is the verdict on the body as pydantic parses it itself: `null` when it
is refused, `[value]` when it is accepted (`[true]` where the value is not compared). `python` says whether
it accepts the body as `json.loads` parses it, which is the way FastAPI goes.
"""

import json
import sys
from math import isfinite
from uuid import UUID, uuid4

import pydantic
from pydantic import BaseModel, Field, HttpUrl, IPvAnyAddress


class EventInfo(BaseModel):
    id: UUID = Field(default_factory=uuid4)
    type: str


class UserInfo(BaseModel):
    id: str


class DeviceInfo(BaseModel):
    user_agent: str
    screen_width: int
    screen_height: int


class ContextInfo(BaseModel):
    url: HttpUrl
    referrer: HttpUrl | None = None
    ip_address: IPvAnyAddress | None = None
    session_id: str


class Metrics(BaseModel):
    load_time: int | None = None
    interaction_time: int | None = None


class EventIn(BaseModel):
    event: EventInfo
    user: UserInfo
    device: DeviceInfo
    context: ContextInfo
    properties: dict[str, str | int | float] = Field(default_factory=dict)
    metrics: Metrics
    timestamp: int = Field(default_factory=lambda: 1700000000000)


# The text of every field of a valid event, in order; a nested field is written `section/field`.
VALID = {
    "event": {"type": '"page_view"'},
    "user": {"id": '"user-1"'},
    "device": {"user_agent": '"Mozilla/5.0"', "screen_width": "1920", "screen_height": "1080"},
    "context": {"url": '"https://example.com"', "session_id": '"sess-1"'},
    "properties": {},
    "metrics": {},
}

INTEGERS = [
    "120", "0", "-0", "-5", "120.0", "120.5", "-120.0", "-0.0", "1e2", "1E+2", "12e-1", "1200e-1", "1e400", "-1e400",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "9223372036854774784.0", "9223372036854775807.0", "-9223372036854775808.0",
    "9007199254740993.0", "1e18", "1e19", "0.1e1", "120.00000000000000000001", "1e-400",
    '"120"', '"120.0"', '"120.000"', '"120.5"', '"120."', '".0"', '"-120"', '"+120"', '"-120.0"', '"+-120"', '"--120"',
    '"- 120"', '"+ 120"', '" 120"', '"120 "', '" 120.0 "', '"\\t120\\n"', '"\\u00a0120"', '"\\u3000120"', '"\\u001c120"', '"\\u200b120"', '"\\u0085120"', '"1 20"',
    '"0120"', '"00"', '"000"', '"-0"', '"+0"', '"-00"', '"-0120"', '"+0120"', '"0.0"', '"-0.0"', '"00.0"', '"00120.00"', '"0x10"',
    '"1_000"', '"1__000"', '"_1000"', '"1000_"', '"-_1"', '"+_1"', '"0_1"', '"_0"', '"00_1"', '"0_0"', '"1_0.0"', '"1.0_0"', '"1._0"', '"1_.0"', '"1_2_3"',
    '"1e2"', '"1E2"', '"1e0"', '"120.0e0"', '"NaN"', '"Infinity"', '"inf"',
    '"9223372036854775807"', '"9223372036854775808"', '"-9223372036854775808"', '"9223372036854775807.0"', '"00009223372036854775807"',
    '"\\u0031\\u0032"', '"\\u0661\\u0662"', '"\\uff11"', '""', '" "', '"."', '"-"', '"+"', '"abc"', '"120abc"', '"true"',
    '"0."', '"-.0"', '"1.00000000000000000000000000000"', '"0_"', '"-0_1"', '"000_"', '"0__1"', '"+0_1"', '"+1_0"', '"-1_0"', '"- 0"', '"0.00_0"',
    '"120\\u0000"', '"120,0"', '"0b1"', '"1.0.0"', '"120.0 0"',
    "true", "false", "null", "[]", "[120]", "{}", "", "NaN", "Infinity", "-Infinity", "0120", "+120", ".5", "120.",
]
# What tells one field of a type from another one of the same type; the full list goes through one of them.
FEW = ["120", '"120"', "120.0", "120.5", "true", "null", "[]", "{}", ""]
TIMES = [
    "1431857103007", "1431857103007.0", "1.431857103007e12", '"1431857103007"', '" +1_431_857_103_007.0 "', "1431857103007.5", '"2015-05-17T10:05:03.007Z"',
    "94694400000", "94694399999", "7289654399999", "7289654400000", "1431857103", "1431857103007000", "1431857103007000000", "0", "-1431857103007",
    "true", "null", "[]", "{}", "",
]
TEXTS = [
    '"page_view"', '""', '" "', '" a "', '"\\u00e9\\n"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"', '"\\ud83d\\u0041"',
    "5", "1.5", "true", "false", "null", "[]", '["a"]', "{}", "", '"é"',
]
URLS = [
    '"https://example.com"', '"http://example.com/a?b=c#d"', '"HTTP://EXAMPLE.COM"', '"http://localhost:8000/x"', '"http://127.0.0.1"',
    '"http://[::1]/"', '"https://user:pass@example.com"', '"https://bücher.example/ä b"', '"https://example.com:99999"', '"https://example.com:0"',
    '"http:example.com"', '"http:/example.com"', '"http:///example.com"', '"http:\\\\\\\\example.com"', '"http://"', '"https:///"', '"http://?a"', '"http:"',
    '" https://example.com "', '"https://exa\\tmple.com"', '"https://exa mple.com"', '"\\u0000https://example.com"', '"\\u00a0https://example.com"',
    '"https://a_b.example"', '"https://-a.example"', '"https://a..b"', '"https://."', '"https://1.2.3.4.5"', '"https://256.1.1.1"', '"https://0x7f.1"',
    '"https://example.com/%zz"', '"https://ex%41mple.com"', '"https://xn--a"', '"https://[::1"',
    '"ftp://example.com"', '"//example.com"', '"/path"', '"example.com"', '"javascript:alert(1)"', '"data:,x"', '"about:blank"', '"android-app://x"', '""', '" "', '"-"',
    '"https://example.com/%s"' % ("a" * (2083 - 20)), '"https://example.com/%s"' % ("a" * (2083 - 19)), '"https://example.com/%s"' % ("é" * 1030), '"https://example.com/%s"' % ("é" * 2063),
    '"https://example.com/%s"' % ("é" * 2064), '" https://example.com/%s"' % ("a" * (2083 - 20)), '"https://example.com/%s"' % ("é" * 348),
    "5", "true", "[]", "{}", "null", "",
]
IDS = [
    '"018f0000-0000-7000-8000-000000000000"', '"018F0000-0000-7000-8000-00000000000A"', '"018f0000000070008000000000000000"',
    '"{018f0000-0000-7000-8000-000000000000}"', '"urn:uuid:018f0000-0000-7000-8000-000000000000"', '"00000000-0000-0000-0000-000000000000"',
    '"URN:UUID:018f0000-0000-7000-8000-000000000000"', '"uuid:018f0000-0000-7000-8000-000000000000"', '"{018f0000000070008000000000000000}"',
    '"018f0000-00007000-8000-000000000000"', '"018f-0000-0000-7000-8000-000000000000"', '" 018f0000-0000-7000-8000-000000000000"', '"018f0000-0000-7000-8000-00000000000"', '"018f0000-0000-7000-8000-00000000000g"',
    '"evt-1"', '""', "5", "true", "null", "[]", "{}", "",
]
ADDRESSES = [
    '"127.0.0.1"', '"::1"', '"2001:DB8::1"', '"::ffff:1.2.3.4"', '"1:2:3:4:5:6:1.2.3.4"', '"fe80::1%eth0"', '"fe80::1%"', '"01.2.3.4"', '"1.2.3"', '"1.2.3.4.5"', '"256.1.1.1"', '"1.2.3.4/24"',
    '" 1.2.3.4"', '"1.2.3.4 "', '"[::1]"', '"1.2.3.4:80"', '"localhost"', '"-"', '""', '"00001::1"', '"1::2::3"', '"::"', '"\\u0661.2.3.4"', '"16909060"',
    "5", "-5", "1.5", "4294967296", "1e2", "true", "null", "[]", "{}", "",
]
PROPERTIES = [
    "{}", '{"a":"5"}', '{"a":""}', '{"a":5}', '{"a":-0}', '{"a":5.0}', '{"a":5.5}', '{"a":-0.0}', '{"a":1e2}', '{"a":1e400}', '{"a":"é"}', '{"":1}', '{"a/b~c":1}',
    '{"a":9223372036854775807}', '{"a":9223372036854775808}', '{"a":18446744073709551616}', '{"a":-9223372036854775809}', '{"a":1e19}', '{"a":0.1}', '{"a":NaN}', '{"a":1e-400}',
    '{"a":true}', '{"a":false}', '{"a":null}', '{"a":[]}', '{"a":{}}', '{"a":1,"a":"b"}', '{"a":[],"a":"b"}', '{"a":"b","a":[]}', '{"a":"\\ud83d"}', '{"\\ud83d":"a"}', '{"\\u0061":"b"}',
    "null", "[]", '[["a",1]]', "5", '"a"', "true", "",
]
SECTIONS = ["{}", "null", "[]", "5", '"a"', "true", ""]

CASES = {
    "timestamp": TIMES,
    "metrics/load_time": INTEGERS,
    "metrics/interaction_time": FEW,
    "device/screen_width": FEW,
    "device/screen_height": FEW,
    "event/type": TEXTS,
    "context/session_id": TEXTS[:4] + TEXTS[10:],
    "device/user_agent": TEXTS[:4] + TEXTS[10:],
    "user/id": TEXTS[:4] + TEXTS[10:],
    "context/url": URLS,
    "context/referrer": URLS[:4] + URLS[-16:],
    "event/id": IDS,
    "context/ip_address": ADDRESSES,
    "properties": PROPERTIES,
    "event": SECTIONS,
    "user": SECTIONS,
    "device": SECTIONS,
    "context": SECTIONS,
    "metrics": SECTIONS,
}
# Whole bodies; `$` stands for the members of a valid event.
BODIES = [
    "{$}", "[{$}]", "null", "5", '"a"', "", " ", "{", "{$", "{$}}", "{$} x", "{$,}", "\ufeff{$}", " \n{$}\r\n\t", "\u00a0{$}", "{$}\u0000", "{$}{$}", "{$}//x",
    '{$,"unknown":1}', '{$,"unknown":{"deep":[1,{"x":null}]}}', '{$,"unknown":1e400}', '{$,"unknown":"\\ud83d"}', '{$,"\\ude00":1}', '{$,"unknown":NaN}', '{$,"unknown":01}', '{$,"unknown":"\t"}',
    '{$,"unknown":"\\x"}', '{$,"unknown":"\\u12"}', '{$,"unknown":tru}', "{$,'unknown':1}", '{$,"unknown":-}', '{$,"unknown":1.}', '{$,"unknown":[1,]}', '{$,"unknown":"\u007f"}', '{$,"\\u0075ser":{"id":"x"}}',
    '{$,"us\\u0065r":{"id":5}}', '{$,"user":{"id":5},"user":{"id":"x"}}', '{$,"user":{"id":"x"},"user":{}}', '{$,"event":{}}', '{$,"event":{"id":"018f0000-0000-7000-8000-000000000000"}}',
    '{$,"metrics":{"load_time":"x","load_time":5}}', '{$,"metrics":{"load_time":5,"load_time":"x"}}', '{$,"metrics":{"load_time":5,"load_time":null}}', '{$,"timestamp":"x","timestamp":1700000000000}', '{$,"User":5}',
] + ['{$,"unknown":%s%s}' % ("[" * n, "]" * n) for n in (126, 127, 190, 250)]


def members(field=None, text=None):
    """The members of a valid event, with `text` in place of `field`."""
    out = []
    for section, fields in VALID.items():
        fields = dict(fields)
        head, _, leaf = (field or "").partition("/")
        if head == section:
            if not leaf:
                if text:
                    out.append(f'"{section}":{text}')
                continue
            fields.pop(leaf, None)
            if text:
                fields[leaf] = text
        inner = ",".join(f'"{name}":{value}' for name, value in fields.items())
        out.append(f'"{section}":{{{inner}}}')
    if field and "/" not in field and field not in VALID and text:
        out.append(f'"{field}":{text}')
    return ",".join(out)


def value(event, field):
    if field == "" or field in VALID and field != "properties":
        return True
    at = event
    for name in field.split("/"):
        at = getattr(at, name)
    if isinstance(at, dict):
        return {name: value if isinstance(value, (int, str)) or isfinite(value) else str(value) for name, value in at.items()}
    return at if isinstance(at, (int, str, type(None))) else True


def verdict(read, body, field):
    try:
        return [value(read(body), field)]
    except (ValueError, RecursionError):
        return None


def main():
    rows = []
    bodies = [("", text, text.replace("$", members())) for text in BODIES]
    bodies += [(field, text, "{" + members(field, text) + "}") for field, texts in CASES.items() for text in texts]
    for field, text, body in bodies:
        raw = body.encode()
        in_json = verdict(EventIn.model_validate_json, raw, field)
        in_python = verdict(lambda raw: EventIn.model_validate(json.loads(raw)), raw, field)
        rows.append({"field": field, "input": text, "body": body, "json": in_json, "python": in_python is not None})
    # One row a line, so that a change of one verdict is a change of one line.
    lines = ",\n  ".join(json.dumps(row, allow_nan=False) for row in rows)
    print(f'{{"pydantic": "{pydantic.VERSION}", "python": "{sys.version.split()[0]}", "verdicts": [\n  {lines}\n]}}')


main()
