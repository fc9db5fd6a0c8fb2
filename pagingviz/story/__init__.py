"""Events and states told in sentences. No colours and no screen."""
