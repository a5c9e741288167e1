internal import Flows

/// One row of the table `flow` in a leaf page, with all that joining asks for; see `FlowRecord` for the form of a row.
enum HopRecord {
  /// Calls `body` for the rows with ids in `ids`; false when something is not as the store writes it.
  /// - Parameter page: `usableSize` bytes of page, and `FlowPages.slack` more that can be read.
  @inline(__always)
  static func forEach(
    in page: UnsafeRawPointer, usableSize: Int, _ layouts: RowLayouts, ids: ClosedRange<Int64>, _ body: (Hop) -> Void
  ) -> Bool {
    var hop = Hop(flow: 0, startedAtMs: 0, source: 0, destination: 0, outcome: 0)
    return FlowRecord.forEachRow(in: page, usableSize: usableSize, layouts) { id, payload, layout in
      guard id >= ids.lowerBound, id <= ids.upperBound else { return }
      hop.flow = id
      hop.startedAtMs = layout.pointee.startedAtMs.value(in: payload)
      hop.durationMs = layout.pointee.durationMs.value(in: payload)
      hop.source = Int32(clamping: layout.pointee.source.value(in: payload))
      hop.destination = Int32(clamping: layout.pointee.destination.value(in: payload))
      hop.outcome = Int32(clamping: layout.pointee.outcome.value(in: payload))
      hop.pathTemplate = Int32(clamping: layout.pointee.pathTemplate.value(in: payload))
      let ports = UInt32(truncatingIfNeeded: layout.pointee.ports.value(in: payload) &+ 1 << 31)
      hop.sourcePort = UInt16(ports >> 16)
      hop.localPort = UInt16(truncatingIfNeeded: ports)
      hop.sent = layout.pointee.hasSent ? layout.pointee.sent.value(in: payload) : -1
      hop.received = layout.pointee.hasReceived ? layout.pointee.received.value(in: payload) : -1
      hop.requestHash = UInt64(bitPattern: layout.pointee.requestHash.value(in: payload))
      hop.line = layout.pointee.line.value(in: payload)
      body(hop)
    }
  }
}
