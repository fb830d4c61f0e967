"""The pages that people look at: templates rendered here, small scripts in `static/`, and the data that these draw.

Pages ask the desk as every dialect does. They carry no inline script, handler or style, so that the policy in
`rendering` can forbid them.
"""

from hpo_engine.service.page.routes import router

__all__ = ["router"]
