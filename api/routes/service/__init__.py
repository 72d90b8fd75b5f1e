"""Operations on the service itself: health, statistics, actors, its document and its pages."""
