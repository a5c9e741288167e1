internal import CISAL

/// What decompresses the data of gzip members. What comes out is the same, byte for byte; only of damaged data one may give
/// more than the other before it is noticed.
public enum InflateLibrary: String, Sendable, CaseIterable {
  case zlib
  /// Intel's ISA-L, which takes half of zlib's time where it is installed.
  case isal = "isa-l"

  /// Why it cannot be used here; nil where it can.
  public var hindrance: String? {
    switch self {
    case .zlib: nil
    case .isal where ISALStream.library.state_size == 0:
      "this program was built without ISA-L's header (Debian: libisal-dev)"
    case .isal where ISALStream.library.inflate == nil || ISALStream.library.inflate_init == nil:
      "\(GATEWATCH_ISAL_SONAME) is not installed (Debian: libisal2)"
    case .isal: nil
    }
  }
}

/// The data of gzip members by ISA-L.
final class ISALStream {
  typealias Step = gatewatch_isal_step

  /// Looked for once, and never written to afterwards.
  nonisolated(unsafe) fileprivate static let library = gatewatch_isal_find()

  private let state: UnsafeMutableRawPointer

  /// - Precondition: `InflateLibrary.isal` has no hindrance.
  init() {
    precondition(InflateLibrary.isal.hindrance == nil)
    state = .allocate(byteCount: ISALStream.library.state_size, alignment: 64)
    begin()
  }

  deinit { state.deallocate() }

  /// Another member begins.
  func begin() {
    withUnsafePointer(to: ISALStream.library) { gatewatch_isal_begin($0, state) }
  }

  /// Moves bytes from the front of `input` to `output`. Where all of `output` was filled, some may be held back.
  func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Step {
    withUnsafePointer(to: ISALStream.library) {
      gatewatch_isal_inflate(
        $0, state, input.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(clamping: input.count),
        output.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(clamping: output.count))
    }
  }
}
