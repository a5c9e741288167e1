internal import Foundation
internal import Ingestion
internal import Reports

/// One line on the error stream that tells how far a run is, when somebody is there to see it.
///
///     access.log  1.20 GiB of 3.40 GiB  512 MiB/s  4 s left
final class ProgressLine {
  private let isShown = isatty(STDERR_FILENO) == 1
  private var lastShown = -Double.infinity
  private var isOnScreen = false

  /// Often enough to look alive, seldom enough to cost nothing.
  private static let secondsBetween = 0.2
  /// Before this much time a rate says nothing.
  private static let secondsForRate = 0.5
  private static let clearLine = "\r\u{1B}[K"

  func show(_ progress: IngestProgress) {
    guard isShown, progress.seconds - lastShown >= ProgressLine.secondsBetween else { return }
    lastShown = progress.seconds
    isOnScreen = true
    let name = TerminalText.safe((progress.path as NSString).lastPathComponent)
    var text = "\(name.prefix(40))  \(Quantities.bytes(progress.bytes))"
    if progress.of > 0 { text += " of \(Quantities.bytes(max(progress.of, progress.bytes)))" }
    if progress.seconds >= ProgressLine.secondsForRate {
      let rate = Double(progress.bytes) / progress.seconds
      text += "  \(Quantities.bytes(Int64(rate)))/s"
      if progress.of > progress.bytes, rate > 0 {
        text += "  \(Quantities.duration(Double(progress.of - progress.bytes) / rate * 1000)) left"
      }
    }
    Terminal.writeError(ProgressLine.clearLine + text)
  }

  func clear() {
    guard isOnScreen else { return }
    isOnScreen = false
    Terminal.writeError(ProgressLine.clearLine)
  }
}
