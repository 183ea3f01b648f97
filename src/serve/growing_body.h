// The body of a request for Beast's parser: a text that grows as bytes come. Beast's string_body
// takes memory for the whole length that a head announces, and a client need not send it.
//
// One thread at a time.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional/optional.hpp>
#include <cstddef>
#include <cstdint>
#include <string>

namespace choir::serve {

struct GrowingBody {
  using value_type = std::string;

  // What Beast asks of a body that is read.
  class reader {  // NOLINT(readability-identifier-naming): Beast looks for this name
   public:
    template <bool kRequest, class Fields>
    reader(boost::beast::http::header<kRequest, Fields>& /*head*/, std::string& body)
        : body_(body) {}

    void init(const boost::optional<std::uint64_t>& /*length*/, boost::beast::error_code& error) {
      error = {};
    }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, boost::beast::error_code& error) {
      const std::size_t before = body_.size();
      for (const auto buffer : boost::beast::buffers_range_ref(buffers))
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
      error = {};
      return body_.size() - before;
    }
    void finish(boost::beast::error_code& error) { error = {}; }

   private:
    std::string& body_;
  };
};

}  // namespace choir::serve
