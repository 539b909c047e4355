# The client of Apache Kafka's own wire protocol (docs/decisions.md).
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka)
set(CONNECTOR_LIBS PkgConfig::RDKAFKA)
