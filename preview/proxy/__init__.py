"""Send a request to a preview and return its response: header rules, validation of requests, and the HTTP client."""

from preview.proxy.call_fields import forwarded_headers, returned_headers
from preview.proxy.client import PreviewClient, ProxyResponse, open_preview_client
from preview.proxy.envelope import METHODS, ProxyRequest, bytes_of, check_path, encode_query, make_request
from preview.proxy.headers import HOP_BY_HOP
from preview.proxy.streamed_call import StreamedCall

__all__ = [
    "HOP_BY_HOP",
    "METHODS",
    "PreviewClient",
    "ProxyRequest",
    "ProxyResponse",
    "StreamedCall",
    "bytes_of",
    "check_path",
    "encode_query",
    "forwarded_headers",
    "make_request",
    "open_preview_client",
    "returned_headers",
]
