"""The S3 server of the repository's tests."""

from tests.test_repository.conftest import s3_endpoint, s3_settings

__all__ = ["s3_endpoint", "s3_settings"]
