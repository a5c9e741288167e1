import Flows
import Foundation
import Testing

@testable import AccessLogs

/// Records and wrappers: where a line begins and ends, what stands around it, and where it is said to stand.
struct EngineRecordTests {
  @Test("a byte order mark at the beginning of a line belongs to no value, whatever stands around the line")
  func byteOrderMarks() {
    let plain = EngineFeed.read("\(SampleLine.envoy)\n\(SampleLine.squid)\n")
    let marked = EngineFeed.read("\u{FEFF}\(SampleLine.envoy)\r\n\u{FEFF}\(SampleLine.squid)\n")
    #expect(plain == marked)
    let wrapped = "2026-11-23T05:00:00.000000001Z stdout F \(SampleLine.envoy)\n"
    #expect(EngineFeed.read(wrapped) == EngineFeed.read("\u{FEFF}" + wrapped))
  }

  @Test("a carriage return before the newline belongs to neither line nor value")
  func carriageReturns() {
    let plain = EngineFeed.read("\(SampleLine.envoy)\n\(SampleLine.squid)\n\n")
    let carriage = EngineFeed.read("\(SampleLine.envoy)\r\n\(SampleLine.squid)\r\n\r\n")
    #expect(plain == carriage)
    #expect(plain.flows.count == 2 && plain.skipped == ["blank": 1])
  }

  @Test("a block of NULs is one line without records; NULs around records are none of theirs")
  func nuls() {
    let hole = String(repeating: "\0", count: 5000)
    #expect(EngineFeed.read(hole + "\n").skipped == ["nul-hole": 1])
    #expect(EngineFeed.read("\0\n").skipped == ["nul-block": 1])
    let reading = EngineFeed.read(hole + SampleLine.squid + "\n" + SampleLine.squid + "\0" + SampleLine.squid + "\n")
    #expect(reading.flows.count == 3 && reading.rejected.isEmpty)
    #expect(reading.flows.map(\.line) == [1, 2, 2])
  }

  @Test("more glued records than a batch keeps room for do not overrun it, and are counted")
  func manyGlued() {
    let line = Array(repeating: SampleLine.squid, count: 200).joined(separator: "\0") + "\n"
    let feed = EngineFeed(capacity: LineParser.reservedRows + 1)
    for _ in 0..<5 { feed.read(line.utf8) }
    #expect(feed.reading.nextLine == 6)
    #expect(feed.reading.linesRead == 5 * 200)
    #expect(feed.reading.flows.count == 5 * LineParser.maxRecordsPerLine)
    #expect(feed.reading.rejected == ["too-many-records": 5 * (200 - LineParser.maxRecordsPerLine)])
  }

  @Test("a line of exactly one mebibyte is parsed, a longer one is too long")
  func longest() {
    let rest = LineParser.maxLine - SampleLine.envoy.utf8.count
    func line(_ more: Int) -> String {
      SampleLine.envoy.replacing(#""curl""#, with: "\"curl" + String(repeating: "x", count: rest + more) + "\"")
    }
    #expect(line(0).utf8.count == LineParser.maxLine)
    #expect(EngineFeed.read(line(0) + "\n").flows.count == 1)
    #expect(EngineFeed.read(line(0) + "\r\n").flows.count == 1)
    let reading = EngineFeed.read(line(1) + "\n" + SampleLine.envoy)
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
    for line in [SampleLine.envoy, SampleLine.squid, SampleLine.json] {
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
    let plain = EngineFeed.read("\(SampleLine.envoy)\n\(SampleLine.envoy)\n")
    for more in ["", #","logtag":"F""#] {
      let reading = EngineFeed.read(row(SampleLine.envoy, more) + row(SampleLine.envoy, more))
      #expect(reading.flows.count == 2 && reading.flows == plain.flows, "\(more)")
      let unknown = EngineFeed.read(row("what is this", more) + row("and this", more) + row(SampleLine.envoy, more))
      #expect(unknown.rejected.values.reduce(0, +) == 2 && unknown.flows.count == 1, "\(more) \(unknown.rejected)")
    }
    // In parts: docker's own have 16 KiB, Fluent Bit marks them.
    let (head, tail) = (SampleLine.envoy.prefix(60), SampleLine.envoy.dropFirst(60))
    for more in ["", #","logtag":"P""#] {
      let parts = EngineFeed.read(
        row(String(head), more)
          + row(String(tail) + "\n", more.isEmpty ? "" : #","logtag":"F""#).replacing("\n\"", with: "\\n\""))
      #expect(parts.flows.count == 1 && parts.rejected.isEmpty, "\(more) \(parts.rejected)")
    }
  }

  @Test("docker's JSON gives back the line that it holds")
  func docker() {
    for line in [SampleLine.envoy, SampleLine.squid, SampleLine.json] {
      let message = line.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      let reading = EngineFeed.read(#"{"log":"\#(message)\n","stream":"stdout","time":"2024-01-02T03:04:05.6Z"}"#)
      #expect(reading.flows.map(\.destination) == EngineFeed.read(line).flows.map(\.destination))
    }
  }

  @Test("parts of a record join across chunks, streams and processes, and stand where the last part stands")
  func partial() {
    let whole = EngineFeed.read(SampleLine.envoy).flows
    let (first, second) = (SampleLine.envoy.prefix(100), SampleLine.envoy.dropFirst(100))
    let lines = [
      "\(SampleLine.cri)P \(first)\n", "2024-01-02T03:04:05.7Z stderr F \(SampleLine.squid)\n",
      "\(SampleLine.cri)P \(second.prefix(50))\n",
      "\(SampleLine.cri)F \(second.dropFirst(50))\n",
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
    let known = EngineFeed.read("\(SampleLine.squid)\n\(SampleLine.cri)P \(SampleLine.envoy)\n")
    #expect(known.flows.map(\.line) == [1, 2] && known.linesRead == 2 && known.nextLine == 3)
    let broken = EngineFeed.read("\(SampleLine.cri)P \(SampleLine.envoy.prefix(80))\n")
    #expect(broken.rejected == ["truncated": 1])
    #expect(broken.rejectedLines.map(\.line) == [1])
  }

  @Test("joined parts longer than a mebibyte are one line that is too long")
  func endless() {
    let part = "\(SampleLine.cri)P \(String(repeating: "x", count: 16_000))\n"
    let reading = EngineFeed.read(
      String(repeating: part, count: 80) + "\(SampleLine.cri)F end\n\(SampleLine.cri)F \(SampleLine.envoy)\n")
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
    feed.read("\(SampleLine.envoy)\n\(SampleLine.cri)F x\n".utf8, isFinal: true)
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
    let lines = (0..<300).map { "[pod/p\($0)/c] \(SampleLine.envoy)\n" }.joined()
    #expect(EngineFeed.read(lines).flows.map(\.source.pod) == (0..<300).map { "p\($0)" })
  }

  @Test("a place is told apart by who wrote the line: Envoy as Istio runs it, or another container, as a workload can")
  func printedPlaces() {
    let line = SampleLine.envoy + "\n"
    let names = [("istio-proxy", false), ("app", true)]
    let wrapped = names.map { "[pod/shop-1/\($0.0)] \(line)" }.joined()
    let reading = EngineFeed.read(wrapped + line)
    #expect(reading.flows.map(\.destination.isWorkloadsOutput) == names.map(\.1) + [false])
    for (container, isPrinted) in names {
      let feed = EngineFeed(log: LogContext(ordinal: 1, namespace: "shop", pod: "shop-1", container: container))
      feed.read((line + line).utf8)
      #expect(feed.reading.flows.map(\.destination.isWorkloadsOutput) == [isPrinted, isPrinted])
    }
    // The containers of other proxies have names of all kinds.
    let squid = EngineFeed.read("[pod/squid-1/squid] \(SampleLine.squid)\n")
    #expect(squid.flows.map(\.destination.isWorkloadsOutput) == [false])
  }
}
