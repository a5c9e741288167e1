import Foundation
import Testing

/// Compares text with a file in `Snapshots/` beside this one. A snapshot that is missing, or all of them when
/// `RECORD_SNAPSHOTS` is set, is recorded, and the test fails that once: no snapshot is accepted by accident.
func expectSnapshot(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
  let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Snapshots")
  let file = folder.appending(path: name)
  let isRecording = ProcessInfo.processInfo.environment["RECORD_SNAPSHOTS"] != nil
  guard !isRecording, let known = try? String(contentsOf: file, encoding: .utf8) else {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try text.write(to: file, atomically: true, encoding: .utf8)
    Issue.record("recorded a new snapshot: \(name)", sourceLocation: sourceLocation)
    return
  }
  #expect(text == known, "Snapshots/\(name) differs", sourceLocation: sourceLocation)
}
