internal import CYaml

/// Looks at a YAML text before it is composed: Yams compares the keys of a mapping with each other, and with them all that
/// aliases in them stand for, which a few lines make more than anybody can wait for.
public enum YAMLKeys {
  /// Where the first key stands that is a list, a mapping or an alias: no file that is read here has one. Line and column count
  /// from 1; nil where there is none, or the text is no YAML, which composing it says better.
  public static func unusual(in yaml: String) -> (line: Int, column: Int)? {
    var text = yaml
    return text.withUTF8 { text in
      var parser = yaml_parser_t()
      guard yaml_parser_initialize(&parser) == 1 else { return nil }
      defer { yaml_parser_delete(&parser) }
      yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
      yaml_parser_set_input_string(&parser, text.baseAddress, text.count)
      return unusual(&parser)
    }
  }

  private enum Around {
    case list
    case mapping(isKeyNext: Bool)
  }

  private static func unusual(_ parser: inout yaml_parser_t) -> (line: Int, column: Int)? {
    var around: [Around] = []
    while true {
      var event = yaml_event_t()
      guard yaml_parser_parse(&parser, &event) == 1 else { return nil }
      defer { yaml_event_delete(&event) }
      switch event.type {
      case YAML_STREAM_END_EVENT, YAML_NO_EVENT: return nil
      case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: _ = around.popLast()
      case YAML_SCALAR_EVENT, YAML_ALIAS_EVENT, YAML_SEQUENCE_START_EVENT, YAML_MAPPING_START_EVENT:
        if case .mapping(let isKeyNext)? = around.last {
          if isKeyNext, event.type != YAML_SCALAR_EVENT {
            return (Int(event.start_mark.line) + 1, Int(event.start_mark.column) + 1)
          }
          around[around.count - 1] = .mapping(isKeyNext: !isKeyNext)
        }
        if event.type == YAML_SEQUENCE_START_EVENT { around.append(.list) }
        if event.type == YAML_MAPPING_START_EVENT { around.append(.mapping(isKeyNext: true)) }
      default: break
      }
    }
  }
}
