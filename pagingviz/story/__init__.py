"""Events and states in sentences. No colours and no screen."""
