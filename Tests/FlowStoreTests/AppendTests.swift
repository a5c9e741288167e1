import Flows
import Foundation
import Testing

@testable import FlowStore

@Suite("storing batches")
struct AppendTests {
  @Test("a batch comes out of the view flows as it went in")
  func roundTrip() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    var maker = BatchMaker()
    var log = LogRecord(path: "/var/log/envoy.log")
    try store.store(maker.batch(count: 7), into: &log)
    try store.commit()
    store.close()
    let reader = try FlowReader(path: folder.path())
    let (columns, rows) = try reader.rows("select * from flows order by id")
    #expect(
      columns == [
        "id", "started_at", "started_at_ms", "duration_ms", "proxy", "role", "log", "line", "source_ip",
        "source_port", "source", "host", "port", "destination_ip", "protocol", "method", "status", "url_path", "path",
        "outcome", "reason", "bypass", "bytes_sent", "bytes_received", "upstream_cluster", "route_name",
        "response_flags", "request_id", "journey", "warnings",
      ])
    #expect(rows.count == 7)
    #expect(
      rows[4] == [
        5, "2026-11-01T12:00:00.004Z", .integer(noon + 4), 4, "envoy", "unknown", "/var/log/envoy.log", 5, "10.80.3.0",
        50000, "sleep-0", "host-1.example.com", 443, "203.0.113.1", "HTTP/1.1", "GET", 200, "/", "unknown", "unknown",
        nil, nil, 10, 4, "PassthroughCluster", nil, nil, "fedcba9800000004", nil, nil,
      ])
    #expect(rows[3].last == "truncated,xff-source")
    #expect(try reader.check() == [])
  }
}
