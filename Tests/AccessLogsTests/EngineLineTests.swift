import Flows
import Foundation
import Testing

@testable import AccessLogs

/// Lines, records and wrappers: what is counted as what, and where it is said to stand.
struct EngineLineTests {
  private static let envoy =
    #"[2020-08-28T06:32:00.597Z] "GET /a HTTP/1.1" 200 - via_upstream - "-" 1 2 3 4 "-" "curl" "-" "a.test" "203.0.113.9:80" outbound|80||a.test 10.0.0.1:1 203.0.113.9:80 10.0.0.1:2 - default"#
  private static let squid =
    "1598596320.597     15 10.80.3.218 TCP_TUNNEL/200 5491 CONNECT edition.cnn.com:443 - HIER_DIRECT/115.214.243.245 -"
  private static let cri = "2024-01-02T03:04:05.678901234Z stdout "
  private static let json =
    #"{"start_time":"2020-08-28T06:32:00.597Z","method":"GET","path":"/a","protocol":"HTTP/1.1","response_code":200,"response_flags":"-","bytes_received":1,"bytes_sent":2,"duration":3,"authority":"a.test","upstream_host":"203.0.113.9:80","upstream_cluster":"outbound|80||a.test","upstream_local_address":"10.0.0.1:1","downstream_local_address":"203.0.113.9:80","downstream_remote_address":"10.0.0.1:2","route_name":"default"}"#

  @Test("a refused request is an access line in JSON too, with nulls for all that it never reached")
  func refusedInJSON() {
    let line =
      #"{"start_time":"2020-08-28T06:32:07.780Z","method":"GET","path":"/a","protocol":"HTTP/1.1","response_code":502,"response_flags":null,"response_code_details":"direct_response","bytes_received":0,"bytes_sent":0,"duration":0,"upstream_host":null,"upstream_cluster":null,"downstream_local_address":"71.85.118.145:80","downstream_remote_address":"10.80.4.142:42841","route_name":"block_all"}"#
    let reading = EngineFeed.read(line + "\n" + line.replacing("\":", with: "\" : ", maxReplacements: 3) + "\n")
    #expect(reading.formats == ["istio-json": 2])
    #expect(reading.flows.map(\.outcome.status) == [502, 502])
    #expect(reading.flows.map(\.destination.routeName) == ["block_all", "block_all"])
    #expect(EngineFeed.read(#"{"method":"GET","path":"/a","start_time":"2020-08-28T06:32:07.780Z"}"#).flows.isEmpty)
  }

  @Test("a line is a request's by its method, its protocol or its status; a connection has none of them")
  func requests() throws {
    func traffic(_ request: String, _ status: String) throws -> Destination.Traffic {
      let line = Self.envoy.replacing("\"GET /a HTTP/1.1\" 200", with: "\"\(request)\" \(status)")
      return try #require(EngineFeed.read(line + "\n").flows.first).destination.traffic
    }
    #expect(try traffic("GET /a HTTP/1.1", "200") == .http && traffic("- - HTTP/1.1", "408") == .http)
    #expect(try traffic("- - HTTP/2", "0") == .http && traffic("- - -", "400") == .http)
    #expect(try traffic("- - -", "0") == .tcp && traffic("- - -", "-") == .tcp)
    // A tunnel's time is a connection's, whether its method is logged or only that it needs no path.
    #expect(try traffic("CONNECT - HTTP/1.1", "200") == .tcp && traffic("- - HTTP/1.1", "200") == .tcp)
    func inJSON(_ values: [(String, String)]) throws -> Destination.Traffic {
      let line = values.reduce(Self.json) { $0.replacing($1.0, with: $1.1) }
      return try #require(EngineFeed.read(line + "\n").flows.first).destination.traffic
    }
    let (method, path) = (#""method":"GET""#, #""path":"/a""#)
    let (http, status) = (#""protocol":"HTTP/1.1""#, #""response_code":200"#)
    let (noMethod, noPath, noHTTP) = (#""method":null"#, #""path":null"#, #""protocol":null"#)
    #expect(try inJSON([(method, noMethod)]) == .http)
    #expect(try inJSON([(method, noMethod), (path, noPath), (status, #""response_code":0"#)]) == .http)
    #expect(try inJSON([(method, noMethod), (path, noPath), (http, noHTTP), (status, #""response_code":0"#)]) == .tcp)
    #expect(try inJSON([(method + ",", ""), (http + ",", ""), (status, #""response_code":"301""#)]) == .http)
  }

  @Test(
    "the status of a call of gRPC is kept as its number, however it is printed",
    arguments: [
      ("%GRPC_STATUS%", "PermissionDenied", "grpc-7"), ("%GRPC_STATUS(SNAKE_STRING)%", "PERMISSION_DENIED", "grpc-7"),
      ("%GRPC_STATUS(NUMBER)%", "7", "grpc-7"), ("%GRPC_STATUS_NUMBER%", "14", "grpc-14"),
      ("%GRPC_STATUS%", "OK", "grpc-0"),
      ("%GRPC_STATUS%", "Canceled", "grpc-1"), ("%GRPC_STATUS(SNAKE_STRING)%", "CANCELLED", "grpc-1"),
      ("%GRPC_STATUS%", "99", nil), ("%GRPC_STATUS%", "-", nil),
    ] as [(String, String, String?)])
  func callStatus(column: String, value: String, sign: String?) throws {
    func kept(_ format: String, _ line: String) throws -> [String?] {
      let feed = EngineFeed(LineParser(formats: [try FormatPlan.guess(format)]))
      feed.read((line + "\n").utf8)
      return feed.reading.flows.map(\.outcome.pseudoTarget)
    }
    let texts = try kept(
      "[%START_TIME%] %REQ(:METHOD)% %RESPONSE_CODE% \(column) %UPSTREAM_HOST%",
      "[2026-11-02T09:05:00.000Z] POST 200 \(value) 203.0.113.9:80")
    #expect(texts == [sign])
    let values = try kept(
      #"{"time":"%START_TIME%","code":"%RESPONSE_CODE%","grpc":"\#(column)","to":"%UPSTREAM_HOST%"}"#,
      #"{"time":"2026-11-02T09:05:00.000Z","code":200,"grpc":"\#(value)","to":"203.0.113.9:80"}"#)
    #expect(values == [sign])
  }

  @Test("a tunnel leads to the host and the port that CONNECT names, whatever was dialled for it")
  func tunnelPort() throws {
    func destination(_ request: String, _ authority: String, _ status: String = "200") throws -> Destination {
      let line = Self.envoy.replacing("\"GET /a HTTP/1.1\" 200", with: "\"\(request)\" \(status)")
        .replacing("\"a.test\"", with: "\"\(authority)\"").replacing("203.0.113.9:80", with: "203.0.113.9:3128")
      return try #require(EngineFeed.read(line + "\n").flows.first).destination
    }
    for request in ["CONNECT - HTTP/1.1", "- - HTTP/1.1"] {
      let tunnel = try destination(request, "b.test:443")
      #expect(tunnel.host == "b.test" && tunnel.port == 443)
      #expect(try destination(request, "b.test").port == 3128)
    }
    // What a request asks for in its Host is no place, nor is it that of a WebSocket, which joins as a request.
    #expect(try destination("GET /a HTTP/1.1", "b.test:443").port == 3128)
    #expect(try destination("GET /a HTTP/1.1", "b.test:443", "101").port == 3128)
  }

  @Test("without another name the host is the one that the cluster was made for, a waypoint's as any")
  func clusterHosts() throws {
    for cluster in ["outbound|5432||db.test", "inbound-vip|5432|tcp|db.test", "inbound-vip|5432|tcp/v1|db.test"] {
      let line = Self.envoy.replacing("GET /a HTTP/1.1", with: "- - -").replacing("\"a.test\"", with: "\"-\"")
        .replacing("outbound|80||a.test", with: cluster)
      let destination = try #require(EngineFeed.read(line + "\n").flows.first).destination
      #expect(destination.host == "db.test" && destination.hostOrigin == .cluster, "\(cluster)")
    }
  }

  @Test("columns that a client put into a text of several columns, as a value of JSON, are in doubt as in a text line")
  func ambiguousValues() throws {
    let plan = try FormatPlan.guess(
      #"{"time":"%START_TIME%","code":"%RESPONSE_CODE%","flags":"%RESPONSE_FLAGS%","to":"%UPSTREAM_HOST%","hop":"%REQ(USER-AGENT)% %UPSTREAM_CLUSTER% %REQ(X-A)%"}"#
    )
    func line(_ hop: String) -> String {
      #"{"time":"2026-11-02T09:05:00.000Z","code":"200","flags":"-","to":"203.0.113.9:80","hop":"\#(hop)"}"# + "\n"
    }
    let feed = EngineFeed(LineParser(formats: [plan]))
    feed.read(
      (line("curl PassthroughCluster -") + line("curl outbound|80||istio-egressgateway PassthroughCluster -")).utf8)
    #expect(feed.reading.flows.map { $0.outcome.warnings.contains(.ambiguousColumns) } == [false, true])
  }

  @Test("a time or an amount of bytes that no calendar and no network has is none")
  func absurdNumbers() {
    let lines = [
      Self.squid.replacing("1598596320.597", with: "1598596320.9223372036854775807"),
      Self.squid.replacing("1598596320.597", with: "99999999999999.597"),
      Self.squid.replacing("TCP_TUNNEL/200 5491", with: "TCP_TUNNEL/200 9223372036854775806"),
    ]
    let reading = EngineFeed.read(([Self.squid] + lines).joined(separator: "\n") + "\n")
    #expect(
      reading.flows.map(\.startedAtMs) == [1_598_596_320_582, 1_598_596_319_985, 1_598_596_320_582])
    #expect(reading.rejected.values.reduce(0, +) == 1)
    #expect(reading.flows.map(\.sent).last == -1)
    #expect(reading.flows.map { $0.outcome.warnings.contains(.numberInvalid) } == [false, true, true])
  }

  @Test("a byte order mark at the beginning of a line belongs to no value, whatever stands around the line")
  func byteOrderMarks() {
    let plain = EngineFeed.read("\(Self.envoy)\n\(Self.squid)\n")
    let marked = EngineFeed.read("\u{FEFF}\(Self.envoy)\r\n\u{FEFF}\(Self.squid)\n")
    #expect(plain == marked)
    let wrapped = "2026-11-23T05:00:00.000000001Z stdout F \(Self.envoy)\n"
    #expect(EngineFeed.read(wrapped) == EngineFeed.read("\u{FEFF}" + wrapped))
  }

  @Test("a carriage return before the newline belongs to neither line nor value")
  func carriageReturns() {
    let plain = EngineFeed.read("\(Self.envoy)\n\(Self.squid)\n\n")
    let carriage = EngineFeed.read("\(Self.envoy)\r\n\(Self.squid)\r\n\r\n")
    #expect(plain == carriage)
    #expect(plain.flows.count == 2 && plain.skipped == ["blank": 1])
  }

  @Test("a block of NULs is one line without records; NULs around records are none of theirs")
  func nuls() {
    let hole = String(repeating: "\0", count: 5000)
    #expect(EngineFeed.read(hole + "\n").skipped == ["nul-hole": 1])
    #expect(EngineFeed.read("\0\n").skipped == ["nul-block": 1])
    let reading = EngineFeed.read(hole + Self.squid + "\n" + Self.squid + "\0" + Self.squid + "\n")
    #expect(reading.flows.count == 3 && reading.rejected.isEmpty)
    #expect(reading.flows.map(\.line) == [1, 2, 2])
  }

  @Test("more glued records than a batch keeps room for do not overrun it, and are counted")
  func manyGlued() {
    let line = Array(repeating: Self.squid, count: 200).joined(separator: "\0") + "\n"
    let feed = EngineFeed(capacity: LineParser.reservedRows + 1)
    for _ in 0..<5 { feed.read(line.utf8) }
    #expect(feed.reading.nextLine == 6)
    #expect(feed.reading.linesRead == 5 * 200)
    #expect(feed.reading.flows.count == 5 * LineParser.maxRecordsPerLine)
    #expect(feed.reading.rejected == ["too-many-records": 5 * (200 - LineParser.maxRecordsPerLine)])
  }

  @Test("a line of exactly one mebibyte is parsed, a longer one is too long")
  func longest() {
    let rest = LineParser.maxLine - Self.envoy.utf8.count
    func line(_ more: Int) -> String {
      Self.envoy.replacing(#""curl""#, with: "\"curl" + String(repeating: "x", count: rest + more) + "\"")
    }
    #expect(line(0).utf8.count == LineParser.maxLine)
    #expect(EngineFeed.read(line(0) + "\n").flows.count == 1)
    #expect(EngineFeed.read(line(0) + "\r\n").flows.count == 1)
    let reading = EngineFeed.read(line(1) + "\n" + Self.envoy)
    #expect(reading.rejected == ["too-long": 1] && reading.flows.map(\.line) == [2])
    #expect(reading.rejectedLines.first?.text.count == RejectedLine.maxText)
  }

  @Test("the head of a line that is too long is kept, even an empty one")
  func overlong() {
    let parser = LineParser()
    parser.begin(log: LogContext(ordinal: 1))
    let batch = FlowBatch(capacity: 64)
    parser.rejectOverlong(UnsafeRawBufferPointer(start: nil, count: 0), into: batch)
    Array("head".utf8).withUnsafeBytes { parser.rejectOverlong($0, into: batch) }
    #expect(batch.rejected.map(\.text) == [[], Array("head".utf8)])
    #expect(batch.rejected.map(\.line) == [1, 2] && parser.nextLine == 3)
  }

  // MARK: - Wrappers

  @Test(
    "a record in any wrapper says what it says without",
    arguments: [
      ("", ""), ("2024-01-02T03:04:05.678901234Z stdout F ", ""), ("2024-01-02T03:04:05.6Z stderr F:x ", ""),
      ("2024-01-02T03:04:05.678901234Z ", ""), ("[pod/sleep-1/istio-proxy] ", ""),
      ("<13>Sep  8 05:32:32 host tag[12]: ", ""),
      ("Sep  8 05:32:32 tag: ", ""), ("<165>1 2024-01-02T03:04:05Z host app 1 - [a b=\"\\]\"] ", ""),
      ("sleep-1 istio-proxy ", ""), ("ns sleep-1 istio-proxy ", ""),
      ("\u{1B}[36msleep-1\u{1B}[0m \u{1B}[95mistio-proxy\u{1B}[0m ", ""),
    ])
  func wrapped(before: String, after: String) {
    for line in [Self.envoy, Self.squid, Self.json] {
      let bare = EngineFeed.read(line).flows
      // Twice: found anew, and remembered.
      let wrapped = EngineFeed.read("\(before)\(line)\(after)\n\(before)\(line)\(after)\n")
      #expect(wrapped.flows.count == 2, "\(before)\(line)")
      for flow in wrapped.flows {
        #expect(flow.destination == bare[0].destination && flow.outcome == bare[0].outcome)
        #expect(flow.startedAtMs == bare[0].startedAtMs)
      }
    }
  }

  @Test(
    "a record in docker's JSON whose newline a collector took off is a record; what nobody understands is rejected, each by itself"
  )
  func collectors() {
    func row(_ line: String, _ more: String = "") -> String {
      let log = line.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      return #"{"log":"\#(log)","stream":"stdout"\#(more),"time":"2024-01-02T03:04:05.6Z"}"# + "\n"
    }
    let plain = EngineFeed.read("\(Self.envoy)\n\(Self.envoy)\n")
    for more in ["", #","logtag":"F""#] {
      let reading = EngineFeed.read(row(Self.envoy, more) + row(Self.envoy, more))
      #expect(reading.flows.count == 2 && reading.flows == plain.flows, "\(more)")
      let unknown = EngineFeed.read(row("what is this", more) + row("and this", more) + row(Self.envoy, more))
      #expect(unknown.rejected.values.reduce(0, +) == 2 && unknown.flows.count == 1, "\(more) \(unknown.rejected)")
    }
    // In parts: docker's own have 16 KiB, Fluent Bit marks them.
    let (head, tail) = (Self.envoy.prefix(60), Self.envoy.dropFirst(60))
    for more in ["", #","logtag":"P""#] {
      let parts = EngineFeed.read(
        row(String(head), more)
          + row(String(tail) + "\n", more.isEmpty ? "" : #","logtag":"F""#).replacing("\n\"", with: "\\n\""))
      #expect(parts.flows.count == 1 && parts.rejected.isEmpty, "\(more) \(parts.rejected)")
    }
  }

  @Test("docker's JSON gives back the line that it holds")
  func docker() {
    for line in [Self.envoy, Self.squid, Self.json] {
      let message = line.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      let reading = EngineFeed.read(#"{"log":"\#(message)\n","stream":"stdout","time":"2024-01-02T03:04:05.6Z"}"#)
      #expect(reading.flows.map(\.destination) == EngineFeed.read(line).flows.map(\.destination))
    }
  }

  @Test("parts of a record join across chunks, streams and processes, and stand where the last part stands")
  func partial() {
    let whole = EngineFeed.read(Self.envoy).flows
    let (first, second) = (Self.envoy.prefix(100), Self.envoy.dropFirst(100))
    let lines = [
      "\(Self.cri)P \(first)\n", "2024-01-02T03:04:05.7Z stderr F \(Self.squid)\n",
      "\(Self.cri)P \(second.prefix(50))\n",
      "\(Self.cri)F \(second.dropFirst(50))\n",
    ]
    let together = EngineFeed.read(lines.joined())
    #expect(together.flows.map(\.line) == [2, 4])
    #expect(together.flows[1].destination == whole[0].destination && together.flows[1].outcome == whole[0].outcome)

    var context = LogContext(ordinal: 1)
    var flows: [EngineReading.Flow] = []
    for line in lines {
      let feed = EngineFeed(log: context)
      feed.read(line.utf8)
      flows += feed.reading.flows
      (context.nextLine, context.carry) = (feed.reading.nextLine, feed.reading.carry)
    }
    #expect(flows == together.flows)
    #expect(context.carry.isEmpty)
  }

  @Test("a record whose end never comes is completed by the end of the log, at the line of its last part")
  func unfinished() {
    let known = EngineFeed.read("\(Self.squid)\n\(Self.cri)P \(Self.envoy)\n")
    #expect(known.flows.map(\.line) == [1, 2] && known.linesRead == 2 && known.nextLine == 3)
    let broken = EngineFeed.read("\(Self.cri)P \(Self.envoy.prefix(80))\n")
    #expect(broken.rejected == ["truncated": 1])
    #expect(broken.rejectedLines.map(\.line) == [1])
  }

  @Test("joined parts longer than a mebibyte are one line that is too long")
  func endless() {
    let part = "\(Self.cri)P \(String(repeating: "x", count: 16_000))\n"
    let reading = EngineFeed.read(String(repeating: part, count: 80) + "\(Self.cri)F end\n\(Self.cri)F \(Self.envoy)\n")
    #expect(reading.rejected == ["too-long": 1] && reading.flows.count == 1)
    let feed = EngineFeed()
    feed.read(String(repeating: part, count: 200).utf8)
    #expect(feed.reading.carry.count <= LineParser.maxLine + 16)
  }

  @Test(
    "state from a store that was tampered with is read as far as it makes sense",
    arguments: [
      [1], [255, 255, 255, 255], [255, 255, 255, 127, 1, 2], [1, 0, 0, 0, 65, 2, 0, 0, 0, 66],
      [0, 0, 0, 0, 0, 0, 0, 0, 9],
    ] as [[UInt8]])
  func carried(carry: [UInt8]) {
    let feed = EngineFeed(log: LogContext(ordinal: 1, nextLine: .max, carry: carry, writtenAtMs: .min))
    feed.read("\(Self.envoy)\n\(Self.cri)F x\n".utf8, isFinal: true)
    #expect(feed.reading.flows.count == 1)
  }

  @Test(
    "a clock without a day is of the latest day on which its line can have been written where it stands",
    arguments: [
      // Nobody says when the line was written but the file, last written on 26 November at 12:00 UTC.
      ("", "%H:%M:%S", "11:59:00", "0", "26T11:59:00 day-assumed"),
      ("", "%H:%M:%S", "12:00:01", "0", "26T12:00:01 day-assumed"),
      ("", "%H:%M:%S", "12:00:03", "0", "25T12:00:03 day-assumed"),
      // A request of 30 hours.
      ("", "%H:%M:%S", "05:50:00", "108000000", "25T05:50:00 day-assumed"),
      ("2026-11-24T09:10:01Z stdout F ", "%H:%M:%S", "09:10:00", "0", "24T09:10:00"),
      ("2026-11-24T00:00:01Z stdout F ", "%H:%M:%S", "23:59:59", "0", "23T23:59:59"),
      // A clock that is ahead by seconds; a machine in another zone.
      ("2026-11-24T00:00:01Z stdout F ", "%H:%M:%S", "00:00:03", "0", "24T00:00:03"),
      ("2026-11-24T01:00:01+02:00 stdout F ", "%H:%M:%S", "23:00:00", "0", "23T23:00:00"),
      ("2026-11-24T12:00:00Z ", "%H:%M:%S", "05:50:00", "108000000", "23T05:50:00"),
      ("<165>1 2026-11-24T09:10:01Z host app 1 - - ", "%H:%M", "09:10", "0", "24T09:10:00"),
      // Syslog's own time has no zone: here it is New York's.
      ("<13>Nov 24 05:10:01 host tag: ", "%H:%M:%S", "10:10:00", "0", "24T10:10:00 day-assumed"),
      // A day of some month is no date; half past nine may be in the evening.
      ("2026-11-24T09:10:01Z stdout F ", "%d %H:%M:%S", "24 09:10:00", "0", "24T09:10:00"),
      ("2026-11-24T09:40:00Z stdout F ", "%I:%M", "09:30", "0", "24T09:30:00 day-assumed"),
      ("", "%Y-%m-%d %I:%M", "2026-11-24 09:30", "0", "24T09:30:00 day-assumed"),
      ("", "%Y-%m-%d", "2026-11-24", "0", "24T00:00:00 day-assumed"),
      // With a date, nothing is lent by anybody.
      ("2026-11-26T00:00:01Z stdout F ", "%Y-%m-%d %H:%M", "2026-11-24 09:10", "0", "24T09:10:00"),
      ("2026-11-26T00:00:01Z stdout F ", "%m-%d %I:%M %p", "11-24 09:10 PM", "0", "24T21:10:00"),
    ])
  func clockWithoutDay(wrapper: String, pattern: String, time: String, duration: String, expected: String) throws {
    let plan = try FormatPlan.envoy(
      "[%START_TIME(\(pattern))%] %DURATION% %RESPONSE_CODE% %UPSTREAM_HOST% %DOWNSTREAM_REMOTE_ADDRESS%")
    let line = "\(wrapper)[\(time)] \(duration) 200 203.0.113.9:443 10.80.3.11:50001\n"
    // 2026-11-26T12:00:00Z
    let log = LogContext(ordinal: 1, writtenAtMs: 1_795_694_400_000)
    let feed = EngineFeed(LineParser(formats: [plan]), log: log)
    // Three times: found anew, remembered, and side by side.
    for _ in 0..<3 { feed.read(Array((line + line).utf8)) }
    #expect(feed.reading.flows.count == 6)
    for flow in feed.reading.flows {
      let start = Date(timeIntervalSince1970: Double(flow.startedAtMs) / 1000).formatted(.iso8601)
      let warnings = Warnings.names.filter { flow.outcome.warnings.contains($0.warning) }.map { " \($0.name)" }
      #expect("2026-11-\(expected)" == start.dropLast() + warnings.joined(), "\(wrapper)\(time)")
    }
  }

  @Test("each pod named line by line has sources of its own, however many there are")
  func writers() {
    var names = WriterNames()
    func number(_ pod: String) -> UInt32 {
      withSlice("[pod/\(pod)/c] ".utf8) { slice in
        let peeled = Wrapper.kubectlPrefix.peel(slice, scratch: WrapperScratch())!
        return names.writer(peeled.namespace, peeled.pod, peeled.container).number
      }
    }
    var pods: [UInt32: Int] = [:]
    for pod in 0..<(WriterNames.maxWriters + 50) {
      let one = number("p\(pod)")
      #expect(pods.updateValue(pod, forKey: one) == nil)
      #expect(number("p\(pod)") == one)
    }
    let lines = (0..<300).map { "[pod/p\($0)/c] \(Self.envoy)\n" }.joined()
    #expect(EngineFeed.read(lines).flows.map(\.source.pod) == (0..<300).map { "p\($0)" })
  }

  // MARK: - Formats

  @Test("the format changes from line to line without a trace")
  func mixed() {
    let lines = [
      Self.envoy, Self.squid, Self.json,
      "127.0.0.1 [28/Aug/2020:06:32:00 +0000] TCP [edition.cnn.com]200 5491 897 0.015",
    ]
    let alone = lines.map { EngineFeed.read($0).flows[0] }
    var random = SplitMix(state: 3)
    let order = (0..<400).map { _ in Int.random(in: 0..<lines.count, using: &random) }
    let reading = EngineFeed.read(order.map { lines[$0] + "\n" }.joined())
    #expect(reading.flows.count == order.count)
    for (flow, index) in zip(reading.flows, order) {
      var expected = alone[index]
      expected.line = flow.line
      #expect(flow == expected)
    }
  }

  @Test("columns that a client forged make a line ambiguous or leave it as it is, never something else")
  func ambiguous() {
    let forged = [
      #"" 200 - via_upstream - "-" 1 2 3 4 "-" "x"#, #"x" "-" "b.test" "198.51.100.1:80"#, #"" ""#,
      #"" "-" "-" "a.test" "203.0.113.9:80" outbound|80||a.test 10.0.0.1:1 203.0.113.9:80 10.0.0.1:2 - default"#,
    ]
    let honest = EngineFeed.read(Self.envoy).flows[0]
    for agent in forged {
      let reading = EngineFeed.read(Self.envoy.replacing("curl", with: agent))
      #expect(reading.linesRead == 1)
      for flow in reading.flows where flow.destination != honest.destination {
        #expect(flow.outcome.warnings.contains(.ambiguousColumns), "\(agent)")
      }
    }
  }

  @Test(
    "the client is who connected, where that is logged, whatever a header says of it",
    arguments: [
      ("$remote_addr $remote_port $realip_remote_addr $realip_remote_port", "10.0.0.1 1 10.0.0.2 2", "10.0.0.2 2"),
      // The port in a header is no port of the connection.
      ("$remote_addr $remote_port $realip_remote_addr", "10.0.0.1 1 10.0.0.2", "10.0.0.2 0"),
      ("$remote_addr $remote_port $realip_remote_addr", "10.0.0.2 1 10.0.0.2", "10.0.0.2 1"),
      ("$remote_addr $realip_remote_addr $realip_remote_port", "10.0.0.1 - -", "10.0.0.1 0"),
      ("$remote_addr:$remote_port $proxy_protocol_addr", "10.0.0.1:1 10.0.0.3", "10.0.0.1 1"),
      (
        "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_PORT%",
        "10.0.0.1:1 10.0.0.2 2", "10.0.0.2 2"
      ),
      (
        "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.1:1 10.0.0.2",
        "10.0.0.2 0"
      ),
    ])
  func whoConnected(format: String, columns: String, client: String) throws {
    let plan: FormatPlan =
      format.hasPrefix("$")
      ? try .nginx("$msec $status \(format)", http: false) : try .envoy("%START_TIME% %RESPONSE_CODE% \(format)")
    let time = format.hasPrefix("$") ? "1793617201.812" : "2026-11-02T10:00:01.500Z"
    let flow = try #require(EngineFeed.read(Array("\(time) 200 \(columns)\n".utf8), formats: [plan]).flows.first)
    #expect("\(flow.source.clientIP ?? "") \(flow.sourcePort)" == client)
    #expect(!flow.source.clientIsForwarded)
  }

  @Test(
    "a server name with blanks or quotes in it is columns that the format does not know, and no name",
    arguments: [
      ("- - traceID=-", true), ("a.test - traceID=-", true), ("- - - -", true), ("a b.test -", true),
      (#"a" "b.test -"#, true), ("- -", false), ("a.test -", false), ("invalid:a_b.test -", false),
    ])
  func columnsInServerName(tail: String, areMore: Bool) throws {
    let line =
      #"[2026-11-02T10:00:01.500Z] "- - -" 0 - - - "-" 517 3200 41 - "-" "-" "-" "-" "203.0.113.60:443" PassthroughCluster 10.80.3.11:48390 203.0.113.60:443 10.80.3.11:44674 "#
    let flow = try #require(EngineFeed.read(line + tail + "\n").flows.first)
    #expect(flow.outcome.warnings.contains(.ambiguousColumns) == areMore)
    let name = tail.prefix { $0 != " " }
    #expect(flow.destination.sni == (areMore || name == "-" ? nil : String(name)))
    #expect(flow.destination.host == (name == "a.test" && !areMore ? "a.test" : "203.0.113.60"))
    #expect(!areMore || flow.outcome.warnings.isDisjoint(with: [.sniInvalid, .hostMismatch]))
    // Where it stands in quotes, it is one column, whatever its client wrote.
    let quoted = try FormatPlan.envoy("[%START_TIME%] \"%REQUESTED_SERVER_NAME%\" %UPSTREAM_HOST%")
    let bytes = Array("[2026-11-02T10:00:01.500Z] \"- b\" 203.0.113.60:443\n".utf8)
    let whole = try #require(EngineFeed.read(bytes, formats: [quoted]).flows.first)
    #expect(whole.destination.sni == "- b" && !whole.outcome.warnings.contains(.ambiguousColumns))
  }

  @Test(
    "what is not an access line is skipped by its kind",
    arguments: [
      ("", "blank"), ("   \t", "blank"), ("\r", "blank"),
      ("[2024-01-02 03:04:05.678][12][warning][config] x", "envoy-log"),
      ("2024-01-02T03:04:05.678901Z\tinfo\tx", "istio-agent"),
      ("2024/01/02 03:04:05 [error] 12#12: *3 x", "nginx-error"),
      ("2024/01/02 03:04:05 kid1| x", "squid-cache-log"), ("2024/01/02 03:04:05| x", "squid-cache-log"),
      ("==> a.log <==", "tail-header"),
      (
        "2024-01-02T03:04:05.678901Z\twarn\tx read tcp 10.80.3.11:40000->10.80.0.9:15012: connection reset",
        "istio-agent"
      ),
      ("Envoy proxy is ready", "istio-agent"),
      ("/docker-entrypoint.sh: x", "container-start"), ("Defaulted container \"a\" out of: a, b", "kubectl"),
      ("+ pod \u{203A} container", "stern"), ("nginx: [warn] x", "nginx-error"),
      (#"{"level":"info","time":"2024-01-02T03:04:05Z","scope":"a","msg":"b"}"#, "istio-agent"),
    ])
  func skipped(line: String, kind: String) {
    let reading = EngineFeed.read(line + "\n")
    #expect(reading.skipped == [kind: 1])
    // Cut anywhere, it is still no access line.
    for cut in 0..<line.utf8.count {
      #expect(EngineFeed.read(Array(line.utf8.prefix(cut)) + [ASCII.newline]).flows.isEmpty)
    }
  }

  @Test(
    "traffic in the clothes of another program's message is rejected, not skipped",
    arguments: [
      #"{"level":"info","time":"2026-11-02T09:05:00.000Z","msg":"access","method":"GET","response_code":200,"upstream_cluster":"PassthroughCluster"}"#,
      #"{"level":"info","time":"2026-11-02T09:05:00.000Z","scope":"access","src.addr":"10.80.3.11:40000"}"#,
      #"[2026-11-02 09:05:00.123][access] "POST /up HTTP/1.1" 200 - 300000 2381 12 "evil.example" "203.0.113.66:80""#,
      "[2026-11-02 09:05:00.123][12][access] x",
      "2026-11-02T09:05:00.123Z\tinfo\taccess \"POST /up HTTP/1.1\" 200 - 300000",
      "2026-11-02T09:05:00.123Z\tinfo\tenvoy access\t10.80.3.11:40000 203.0.113.66:80 10.80.3.11:51003 PassthroughCluster",
      "2026/11/02 09:05:42 [10.80.3.99] TCP evil.example 200 4875 901 0.618",
      "2026/11/02 09:05:42 | 10.80.3.99 | CONNECT evil.example:443 | 200",
      "+ 2026 \u{203A} 203.0.113.66 PassthroughCluster",
    ])
  func disguised(line: String) {
    let reading = EngineFeed.read(line + "\n")
    #expect(reading.skipped == [:] && reading.flows.isEmpty, "\(reading.skipped)")
  }
}
