"""The DNS server of the playground with TCP, CNAMEs and faults."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import dns.message
import dns.rcode
import dns.rrset

from playground import dns_server

NO_RESPONSE = "NO_RESPONSE"
MOST_ALIASES = 32


@dataclass(frozen=True, slots=True)
class Record(dns_server.Record):
    """`trouble`: by "A" or "AAAA" an rcode such as "SERVFAIL" instead of records, or NO_RESPONSE. `alias` is a CNAME;
    with `alone` the response has only it, as from an authoritative server.
    """

    alias: str = ""
    alone: bool = False
    trouble: Mapping[str, str] = field(default_factory=dict)


class DnsServer(dns_server.DnsServer):
    """`queries` counts by name and type."""

    def __init__(self, records: Mapping[str, Record] | None = None) -> None:
        super().__init__(records)
        self.queries: Counter[tuple[str, str]] = Counter()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._tcp = await asyncio.start_server(self._serve, host, port)
        await super().start(host, self._tcp.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        await super().stop()
        self._tcp.close()
        await self._tcp.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                answer = self.answer(await reader.readexactly(size))
                if answer is not None:
                    writer.write(len(answer).to_bytes(2) + answer)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client closed the connection
        finally:
            writer.close()

    def fill(self, response: dns.message.Message, name: str, kind: str) -> bool:
        self.queries[name, kind] += 1
        for _ in range(MOST_ALIASES):
            record = self.records.get(name)
            if not isinstance(record, Record):
                break
            if trouble := record.trouble.get(kind):
                if trouble != NO_RESPONSE:
                    response.set_rcode(dns.rcode.from_text(trouble))
                return trouble != NO_RESPONSE
            if not record.alias:
                break
            response.answer.append(dns.rrset.from_text(f"{name}.", record.ttl, "IN", "CNAME", f"{record.alias}."))
            name = record.alias
            if record.alone:
                return True
        else:
            return True
        return super().fill(response, name, kind)
