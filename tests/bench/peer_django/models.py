"""Tables of the Django peer; django-simple-history keeps every version of a claim."""

from django.db import models
from simple_history.models import HistoricalRecords
from uuid_utils.compat import uuid7


def mint() -> str:
    """Mint an id that grows with time."""
    return str(uuid7())


class Source(models.Model):  # noqa: DJ008 - nobody prints these
    """Where claims were made."""

    public_id = models.CharField(max_length=100, unique=True)
    title = models.TextField()
    published = models.CharField(max_length=40)


class Question(models.Model):  # noqa: DJ008
    """What claims answer."""

    public_id = models.CharField(max_length=100, unique=True)
    text = models.TextField()


class Claim(models.Model):  # noqa: DJ008
    """One assertion."""

    public_id = models.CharField(max_length=100, unique=True, default=mint)
    source = models.ForeignKey(Source, on_delete=models.PROTECT)
    question = models.ForeignKey(Question, on_delete=models.PROTECT)
    statement = models.TextField()
    answer = models.JSONField()
    valid = models.CharField(max_length=100, null=True)  # noqa: DJ001 - null and empty differ in the API
    speaker = models.CharField(max_length=100)
    via = models.JSONField(default=list)
    stance = models.CharField(max_length=20)
    locator = models.JSONField()
    note = models.TextField()
    recorded_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        """The index that the list's filter and order need."""

        indexes = (models.Index(fields=["stance", "id"], name="claim_by_stance"),)
