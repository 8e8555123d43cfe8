"""The pages of errors that HTTP's own rules bring, as TensorFlow Serving's libevent writes them."""

#: Status -> its words.
PHRASES = {
    400: "Bad Request", 404: "Not Found", 413: "Request Entity Too Large", 501: "Not Implemented"}


def error_page(status: int) -> str:
    """Writes a page.

    Args:
        status: HTTP's status: 400, 404, 413 or 501.

    Returns:
        The HTML.
    """
    phrase = PHRASES[status]
    return (f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n"
            f"<H1>{phrase}</H1>\n</BODY></HTML>\n")
