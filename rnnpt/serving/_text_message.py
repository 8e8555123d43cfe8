"""Text files of TensorFlow Serving's messages, and the messages that no package ships.

The API's package on PyPI leaves out some of the formats that the server's flags name. They are
declared here field by field, in pools of their own lest they meet the official ones some day.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from google.protobuf.message import Message

from rnnpt.serving.error import InvalidArgument, NotFound, PermissionDenied

AnyMessage = TypeVar("AnyMessage", bound=Message)

_KINDS = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
}


def message_class(name: str, **messages: Mapping[str, str]) -> type[Message]:
    """Makes the class of a message from its fields, numbered in their order.

    Args:
        name: The message, one of `messages`.
        **messages: Message name -> field name -> type: bool, string or int64, one of `messages`,
            or one of Google's wrappers, such as "Int64Value"; "repeated" may stand before it.

    Returns:
        The class.

    Example:
        >>> Pair = message_class("Pair", Pair={"left": "string", "right": "repeated int64"})
        >>> Pair(left="a", right=[1, 2]).right
        [1, 2]
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package="tensorflow.serving", syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"])
    for message, fields in messages.items():
        descriptor = file.message_type.add(name=message)
        for number, (field, text) in enumerate(fields.items(), start=1):
            *repeated, kind = text.split()
            label = "LABEL_REPEATED" if repeated else "LABEL_OPTIONAL"
            package = "tensorflow.serving" if kind in messages else "google.protobuf"
            descriptor.field.add(
                name=field, number=number,
                label=descriptor_pb2.FieldDescriptorProto.Label.Value(label),
                type=_KINDS.get(kind, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE),
                type_name=None if kind in _KINDS else f".{package}.{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))


def read_text_message(file: str | os.PathLike, message: AnyMessage) -> AnyMessage:
    """Fills a message from a text file.

    Args:
        file: The file.
        message: An empty message.

    Returns:
        The message.

    Raises:
        NotFound: If there is no such file.
        PermissionDenied: If it may not be read.
        InvalidArgument: If it holds something else.
    """
    try:
        return text_format.Parse(Path(file).read_bytes(), message)
    except PermissionError as error:
        raise PermissionDenied(f"{file}; {error.strerror}") from None
    except OSError as error:
        raise NotFound(f"{file}; {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError):
        raise InvalidArgument(f"Invalid protobuf file: '{file}'") from None
